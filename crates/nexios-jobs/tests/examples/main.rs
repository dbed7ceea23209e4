//! The examples do what they say.

#[path = "../../examples/first_job.rs"]
#[allow(dead_code, reason = "its `main`")]
mod first_job;
#[path = "../../examples/throughput.rs"]
#[allow(dead_code, reason = "its `main`")]
mod throughput;

fn store(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}/jobs.db", folder.path().display())
}

#[tokio::test]
async fn a_first_job_is_tried_again_cancelled_and_revived() {
    let folder = tempfile::tempdir().unwrap();
    first_job::run(&store(&folder)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_throughput_of_a_store_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    throughput::measure(&store(&folder), 50).await.unwrap();
}
