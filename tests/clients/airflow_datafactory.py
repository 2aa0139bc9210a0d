"""Run by Airflow's Python under `kyanite exec`: AzureDataFactoryRunPipelineOperator, unmodified. Prints what it saw."""

import json
import os

WHERE = {"resource_group_name": "rg", "factory_name": "airline"}


class TaskInstance:
    """Keeps what the operator tells other tasks."""

    def __init__(self):
        self.told = {}

    def xcom_push(self, key, value, **_):
        self.told[key] = value


def main():
    connection = {
        "conn_type": "azure_data_factory",
        "extra": {"subscriptionId": "11111111-2222-3333-4444-555555555555"},
    }
    os.environ["AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"] = json.dumps(connection)
    from airflow.providers.microsoft.azure.operators.data_factory import AzureDataFactoryRunPipelineOperator

    operator = AzureDataFactoryRunPipelineOperator(
        task_id="run", pipeline_name="Hello", parameters={"n": 5}, check_interval=1, timeout=60, **WHERE
    )
    instance = TaskInstance()
    operator.execute(context={"ti": instance})
    run = operator.hook.get_pipeline_run(run_id=instance.told["run_id"], **WHERE)
    print(json.dumps({"status": run.status, "parameters": dict(run.parameters)}))


main()
