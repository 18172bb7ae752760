#!/usr/bin/env bash
# Role of a container of the jobs image:
#
#   master, worker     of a standalone cluster; further arguments are passed on
#   driver, executor   as Spark on Kubernetes starts them
#   anything else      a command, with Java and Spark set up
set -euo pipefail

JAVA_HOME=${JAVA_HOME:-$(python -m pipeline.spark.session.java)}
SPARK_HOME=${SPARK_HOME:-$(python -c 'import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent)')}
export JAVA_HOME SPARK_HOME

# Java options for an executor come as SPARK_JAVA_OPT_0, SPARK_JAVA_OPT_1, …
java_options() {
    local number=0 name=SPARK_JAVA_OPT_0
    options=()
    while [[ -n ${!name+set} ]]; do
        options+=("${!name}")
        number=$((number + 1))
        name=SPARK_JAVA_OPT_$number
    done
}

case ${1:-} in
master)
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master "${@:2}"
    ;;
worker)
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker "${@:2}"
    ;;
driver)
    exec "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
        --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
        --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" "${@:2}"
    ;;
executor)
    java_options
    exec "$JAVA_HOME/bin/java" ${options[@]+"${options[@]}"} \
        "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
        -cp "${SPARK_CONF_DIR:+$SPARK_CONF_DIR:}$SPARK_HOME/jars/*${SPARK_EXTRA_CLASSPATH:+:$SPARK_EXTRA_CLASSPATH}" \
        org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
        --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
        --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
        --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
*)
    exec "$@"
    ;;
esac
