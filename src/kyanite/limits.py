"""Every cap in one place. Sizes are bytes unless a name says otherwise, times are seconds."""

from __future__ import annotations

# documents
DOCUMENT_BYTES = 8 * 1024 * 1024
JSON_DEPTH = 64
JSON_KEYS = 100_000

# templates
TEMPLATE_RESOURCES = 5_000
TEMPLATE_COPIES = 800  # ARM's own limit of one copy loop
TEMPLATE_NESTED = 5
TEMPLATE_CALLS = 100_000  # of lambdas and functions of the template's own

# expressions: text and tree are checked while parsing, fuel and size before a value is built
EXPRESSION_CHARACTERS = 32 * 1024
EXPRESSION_NODES = 10_000
EXPRESSION_DEPTH = 100
EXPRESSION_FUEL = 100_000
EXPRESSION_RESULT_BYTES = 16 * 1024 * 1024

# control flow
FOREACH_ITEMS = 100_000
FOREACH_BATCH_COUNT = 50
FOREACH_BATCH_COUNT_DEFAULT = 20
NESTED_RUNS = 8
UNTIL_TURNS = 10_000
DECISION_EVENTS = 256  # one decision's events share one commit; more go into the next one

# calls to other servers
WEB_BODY_BYTES = 4 * 1024 * 1024

# waiting states
LEASE_SECONDS = 30.0
LEASE_RENEW_SECONDS = 10.0
STOPPING_SECONDS = 180.0
RECOVERIES_PER_ACTIVITY = 10
LOSSES_PER_TASK = 3

# batch
TASK_OUTPUT_READ_BYTES = 16 * 1024 * 1024
TASK_RETENTION_SECONDS = 7 * 24 * 3600
RESOURCE_FILES_CHARACTERS = 32_768
KILL_GRACE_SECONDS = 15.0
TASK_PREPARING_SECONDS = 600.0  # from assignment to the runner's claim
TASK_POLL_SECONDS = 0.05
WHY_SECONDS = 0.25  # how often somebody who waits for a task asks whether it can start at all
TURN_SECONDS = 1.0  # the scheduler looks at everything at least so often
STAGING_AT_ONCE = 8  # attempts whose files one process puts in place
RESOURCE_FILE_SECONDS = 60.0  # until the source of a file answers, or sends more
RESOURCE_FILES_PER_CONTAINER = 10_000
ARCHIVE_MEMBERS = 10_000  # application packages
ARCHIVE_BYTES = 2 * 1024**3
ARCHIVE_RATIO = 100  # of one member's size unpacked and packed
NODE_HEARTBEAT_SECONDS = 5.0
NODE_LOST_SECONDS = 20.0  # without a heartbeat; with the look below a lost node is noticed in 25 s
NODE_LOOK_SECONDS = 5.0  # how often nodes and attempts that announce nothing are looked at
NODE_IDLE_SECONDS = 15.0  # a local node's process ends when it has had no work and no listener for so long
NODE_DISK_RESERVED_BYTES = 256 * 1024 * 1024  # with less free a node takes no tasks
RETENTION_SWEEP_SECONDS = 60.0
STDERR_TAIL_CHARACTERS = 2_000
OUTPUTS_JSON_BYTES = 2 * 1024 * 1024
DEPENDENCY_CHARACTERS = 64_000
TASKS_PER_REQUEST = 100
TASK_COLLECTION_BYTES = 1024 * 1024
TASK_SLOTS_PER_NODE = 256
NODES_PER_REMOVAL = 100
RELEASE_TASK_SECONDS = 15 * 60
OUTPUT_FILES = 100_000  # looked at for one pattern
SCHEDULE_LEAST_SECONDS = 60.0
RESIZE_LEAST_SECONDS = 300.0
AUTOSCALE_LEAST_SECONDS = 300.0
AUTOSCALE_MOST_SECONDS = 168 * 3600.0
AUTOSCALE_ENABLE_SECONDS = 30.0  # between two requests to enable it

# batch quotas of an account: configuration here, the subscription's in Azure
BATCH_ACCOUNTS = 1_000  # told as the quota of a location
POOLS_PER_ACCOUNT = 500
ACTIVE_JOBS_PER_ACCOUNT = 10_000  # schedules included, completed jobs not
NODES_PER_POOL = 200  # each is a process of this machine
LOW_PRIORITY_NODES_PER_POOL = 200
APPLICATIONS_PER_ACCOUNT = 200
PACKAGES_PER_APPLICATION = 40
PACKAGES_PER_POOL = 10
PACKAGE_BYTES = 2 * 1024 * 1024 * 1024

# the Batch service's requests
BATCH_BODY_BYTES = 4 * 1024 * 1024
BATCH_PAGE = 1_000
BATCH_FILTER_CHARACTERS = 4_096
BATCH_FILTER_DEPTH = 32
BATCH_FILTER_COMPARISONS = 128
FILE_CHUNK_BYTES = 256 * 1024

# pools at other Batch endpoints
REMOTE_TRIES = 5  # of a request that the endpoint answers with 429 or 503
REMOTE_FIRST_PAUSE_SECONDS = 0.5  # before an endpoint that does not answer is tried again; doubled each time
REMOTE_WAIT_SECONDS = 30.0
REMOTE_LOOK_SECONDS = 1.0  # between two looks at the tasks that run there
REMOTE_TIMEOUT_SECONDS = 20.0
REMOTE_LAUNCHES_AT_ONCE = 8
REMOTE_CARRIED_BYTES = 32 * 1024  # files in a task's environment, when the pool has no storage container
REMOTE_RESIZE_SECONDS = 900.0  # waiting for a resize that is under way there
REMOTE_RESIZE_PAUSE_SECONDS = 1.0

# autoscale formulas
AUTOSCALE_FORMULA_BYTES = 8 * 1024
AUTOSCALE_STATEMENTS = 100
AUTOSCALE_DEPTH = 60  # brackets, choices and signs around one value
AUTOSCALE_FUEL = 1_000_000  # values and elements of vectors in one evaluation
AUTOSCALE_TARGET = 1_000_000  # nodes
AUTOSCALE_SAMPLE_SECONDS = 30.0
AUTOSCALE_SAMPLES_KEPT_SECONDS = 24 * 3600.0
AUTOSCALE_SHORTEST_SECONDS = 1.0  # between evaluations, when a pool's metadata ask for less than the service allows
AUTOSCALE_RUNS_KEPT = 100  # of each pool
AUTOSCALE_LOOK_SECONDS = 2.0  # how soon a process notices that another one changed a pool's autoscale

# parquet
PARQUET_FOOTER_BYTES = 64 * 1024 * 1024
PARQUET_COLUMNS = 10_000
PARQUET_ROWS = 2**40
PARQUET_LIST_ITEMS = 4_000_000  # in one list of a footer or index
PARQUET_PAGE_BYTES = 1024 * 1024 * 1024  # one page decompressed, when a cut goes through it
PARQUET_PARTS = 100_000

# storage paths, as the service has them; a part's bytes are what the file systems below allow
PATH_CHARACTERS = 1024
PATH_PARTS = 254
PATH_PART_BYTES = 255
STAGING_DAYS = 1  # leavings of another machine are removed when older

# movement
COPY_CHUNK_BYTES = 4 * 1024 * 1024
MERGED_FILES_LISTED = 1_000
SPLIT_INPUT_FILES = 100_000
SPLIT_MANIFEST_BYTES = 64 * 1024 * 1024
OBJECT_STORE_CONNECT_SECONDS = 10
OBJECT_STORE_REQUEST_SECONDS = 120
OBJECT_STORE_RETRIES = 3

# secrets
SECRET_MINIMUM_CHARACTERS = 6

# triggers
SCHEDULE_LATE_SECONDS = 300.0  # a fire that nobody was there for is made up for this long, then dropped
WINDOW_WAIT_SECONDS = 7 * 24 * 3600  # a tumbling window waits so long for those it depends on
WINDOWS_WAITING = 500  # of one trigger, for those they depend on; later windows are looked at when these are over
RUNS_AT_ONCE = 16  # by one `kyanite serve`
SCHEDULER_LOOK_SECONDS = 1.0
EVENT_UNSETTLED_SECONDS = 10.0  # then the process that announced a blob counts as killed

# history
RUN_RETENTION_DAYS = 45  # as Data Factory's monitor
FORGET_EVENTS = 10_000  # one transaction of the clean-up deletes about so many, so that writers wait briefly

# management API
MANAGEMENT_BODY_BYTES = 4 * 1024 * 1024
MANAGEMENT_CALLS_AT_ONCE = 512
MANAGEMENT_CALLS_PER_SECOND = 2_000  # of one identity
MANAGEMENT_CALLS_BURST = 10_000
MANAGEMENT_BAD_TOKENS_PER_MINUTE = 30  # from one address; good ones are not kept out by them
MANAGEMENT_PAGE = 100  # runs and resources in one answer, as Data Factory

# connections to the server
LOG_LINES_WAITING = 10_000  # that nobody has read yet; more are counted and left out
LOG_LAST_SECONDS = 2.0  # for the last lines at the stop
CONNECTIONS = 1024  # beyond, requests are answered 503
REQUEST_HEAD_BYTES = 64 * 1024  # request line and headers
REQUEST_HEAD_SECONDS = 20.0  # from the first byte of a request to the end of its headers
CONNECTION_IDLE_SECONDS = 120.0  # in the middle of a request's body, or of an answer that is not read
TOKEN_SECONDS = 24 * 3600
LOGIN_FAILURES_PER_MINUTE = 5  # answers to more of them come later

# storage service
PROPERTIES_CACHED = 20_000  # records of blobs kept in memory by one server
BLOB_BYTES = 5 * 1024**4  # larger ones are refused; the service ends at 190 TiB
PUT_BLOB_BYTES = 5000 * 1024**2  # one Put Blob, one Put Block: the service's caps of today
PUT_BLOCK_BYTES = 4000 * 1024**2
APPEND_BLOCK_BYTES = 100 * 1024**2
APPEND_BLOCKS = 50_000
BLOCKS = 50_000
BLOCKS_UNCOMMITTED = 100_000
BLOCK_LIST_BYTES = 16 * 1024**2
RECORDS_KEPT_SECONDS = 3600  # of versions that no file has: one may be about to appear
RECORDS_SWEPT_AT_ONCE = 50_000
BLOCKS_KEPT_DAYS = 7  # without a commit, as the service
LIST_RESULTS = 5_000
METADATA_BYTES = 8 * 1024
TAGS = 10
TAG_NAME_CHARACTERS = 128
TAG_CHARACTERS = 256  # of a value
TAG_QUERY_DEPTH = 32  # brackets in brackets
TAG_SEARCH_BLOBS = 100_000  # looked at for one page of Find Blobs by Tags
BATCH_REQUESTS = 256
BATCH_BYTES = 4 * 1024**2
MD5_ALWAYS_BYTES = 4 * 1024**2  # larger uploads get a Content-MD5 only when the client gives one
SERVICE_XML_BYTES = 256 * 1024

# data lake service
ACL_ENTRIES = 32  # of a file or folder, and as many defaults
ACL_RECURSIVE = 2_000  # paths in one request
APPENDS_DAYS = 7  # bytes appended and never flushed
APPENDS_BUSY_SECONDS = 30.0  # a flush waits so long for appends in progress
