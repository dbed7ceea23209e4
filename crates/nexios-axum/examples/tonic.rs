//! A gRPC service of tonic through the same request layer: `grpc-timeout` is the deadline, and the service ends in order.

use std::{process::ExitCode, time::Duration};

use nexios::{Interrupted, TaskGroup};
use nexios_axum::{NexiosApp, RequestLayer, run};
use tonic::{Request, Response, Status, service::Routes};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

/// The health service stands for one of your own: it is what tonic generates.
pub(crate) struct Checks;

async fn database(name: &str) -> Result<bool, Interrupted> {
    if name == "slow" {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    Ok(true)
}

#[tonic::async_trait]
impl Health for Checks {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let group = TaskGroup::new();
        let up = group
            .run(async { group.spawn(database(&service)).await })
            .await;
        let up = up.map_err(|interrupted| Status::deadline_exceeded(interrupted.to_string()))?;
        let status = if up {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("nothing changes"))
    }
}

pub(crate) fn app() -> NexiosApp {
    let router = Routes::new(HealthServer::new(Checks)).into_axum_router();
    NexiosApp::new(router).requests(RequestLayer::new().deadline(Duration::from_secs(10)))
}

fn main() -> ExitCode {
    run(async { app().serve("127.0.0.1:50051").await })
}
