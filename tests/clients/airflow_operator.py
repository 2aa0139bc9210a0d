"""Run by Airflow's Python: AzureBatchOperator, unmodified. Prints the JSON of what the server then has.

usage: airflow_operator.py URL ACCOUNT KEY
"""

import json
import os
import sys


def main(url, account, key):
    connection = {"conn_type": "azure_batch", "login": account, "password": key, "extra": {"account_url": url}}
    os.environ["AIRFLOW_CONN_AZURE_BATCH_DEFAULT"] = json.dumps(connection)
    from airflow.providers.microsoft.azure.operators.batch import AzureBatchOperator

    operator = AzureBatchOperator(
        task_id="batch",
        batch_pool_id="airflow",
        batch_pool_vm_size="standard_d2s_v3",
        batch_job_id="airflow",
        batch_task_command_line="/bin/sh -c 'echo hello from airflow'",
        batch_task_id="t1",
        vm_publisher="canonical",
        vm_offer="0001-com-ubuntu-server-jammy",
        sku_starts_with="22_04",
        use_latest_verified_vm_image_and_sku=True,
        vm_sku="22_04-lts",
        vm_node_agent_sku_id="batch.node.ubuntu 22.04",
        target_dedicated_nodes=1,
        timeout=5,
    )
    operator.execute(context={})
    stdout = b"".join(operator.hook.connection.download_task_file("airflow", "t1", "stdout.txt")).decode()
    operator.clean_up("airflow", "airflow")
    print(json.dumps({"stdout": stdout}))


if __name__ == "__main__":
    main(*sys.argv[1:])
