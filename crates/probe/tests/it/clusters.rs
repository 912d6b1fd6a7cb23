//! Programs that have no protocol of their own here: Spark's master and Flink's manager of jobs, by what they tell over HTTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use probe::State;
use serde_json::{Value, json};

use crate::peers::{free_port, start, until_it_listens_for};
use crate::{SECONDS_5, check};

/// Java is in no hurry on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// The jars of one of them, as Java wants them named.
fn jars(folder: &str) -> String {
    let place: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/java-peers").join(folder);
    assert!(place.is_dir(), "{} is not there: run `make test-peers` once", place.display());
    format!("{}/*", place.display())
}

/// Waits until the address answers like that; programs in Java listen long before they have anything to say.
async fn until_it_is(address: &str, params: &Value) {
    let mut said = String::new();
    for _ in 0..100 {
        let outcome = check("http", address, params.clone(), SECONDS_5).await;
        if outcome.state == State::Ok {
            return;
        }
        said = outcome.summary;
        tokio::time::sleep(Duration::from_millis(200)).await; // polls: it is ready
    }
    panic!("{said}");
}

#[tokio::test]
#[ignore = "needs Spark and Java: make test-peers"]
async fn sparks_master_tells_whether_it_is_alive_and_who_works_for_it() {
    let (port, page) = (free_port(), free_port());
    let (port_text, page_text) = (port.to_string(), page.to_string());
    let jars = jars("spark");
    let master = "org.apache.spark.deploy.master.Master";
    let arguments =
        ["-Xmx256m", "-cp", &jars, master, "--host", "127.0.0.1", "--port", &port_text, "--webui-port", &page_text];
    let peer = start("/usr/bin/java", "", &arguments, &[]);
    until_it_listens_for(&peer, page, PATIENCE).await;
    let address = format!("http://127.0.0.1:{page}/json/");
    until_it_is(&address, &json!({"json": {"$.status": "ALIVE"}})).await;
    for (params, state, part) in [
        (json!({"json": {"$.status": "ALIVE", "$.aliveworkers": 0}}), State::Ok, "answers 200"),
        (json!({"json": {"$.aliveworkers": ">= 2"}}), State::Critical, "$.aliveworkers is \"0\", not >= 2"),
    ] {
        let outcome = check("http", &address, params.clone(), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{params}: {}", outcome.summary);
        assert!(outcome.summary.contains(part), "{params}: {}", outcome.summary);
    }
    let metrics = format!("http://127.0.0.1:{page}/metrics/master/json/");
    let workers = json!({"json": {"$.gauges['master.aliveWorkers'].value": 0}});
    let outcome = check("http", &metrics, workers, SECONDS_5).await;
    assert_eq!(outcome.state, State::Ok, "{}", outcome.summary);
}

#[tokio::test]
#[ignore = "needs Flink and Java: make test-peers"]
async fn flinks_manager_of_jobs_tells_of_slots_and_jobs() {
    let port = free_port();
    let configuration = format!(
        "jobmanager.rpc.address: 127.0.0.1\njobmanager.rpc.port: {}\nrest.address: 127.0.0.1\nrest.bind-address: 127.0.0.1\n\
         rest.port: {port}\nblob.server.port: '0'\nio.tmp.dirs: {{folder}}/tmp\n",
        free_port()
    );
    let files = [("config.yaml", configuration), ("tmp/", String::new())];
    let jars = jars("flink");
    let manager = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint";
    let arguments = ["-Xmx512m", "-cp", &jars, manager, "--configDir", "{folder}", "--executionMode", "cluster"];
    let peer = start("/usr/bin/java", "", &arguments, &files);
    until_it_listens_for(&peer, port, PATIENCE).await;
    let address = format!("http://127.0.0.1:{port}/overview");
    let well = json!({"json": {"$.taskmanagers": 0, "$['jobs-running']": 0, "$['flink-version']": "~ ^2\\."}});
    until_it_is(&address, &well).await;
    let outcome = check("http", &address, json!({"json": {"$['slots-available']": ">= 1"}}), SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("is \"0\", not >= 1"), "{}", outcome.summary);
}
