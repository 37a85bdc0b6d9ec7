//! What can be asked for.

use std::sync::Arc;

use avocet_broker::Observer;
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tracing::error;

use crate::exposition::{CONTENT_TYPE, Exposition};

#[derive(Clone, Debug)]
struct Asked {
    observer: Observer,
    exposition: Arc<Exposition>,
}

/// All resources, and short answers for what is none.
pub(crate) fn router(observer: Observer) -> Router {
    let exposition = Arc::new(Exposition::new(observer.clone()));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found\n") })
        .method_not_allowed_fallback(|| async {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
        })
        .with_state(Asked { observer, exposition })
}

async fn metrics(State(asked): State<Asked>) -> Response {
    match asked.exposition.text() {
        Ok(text) => {
            let kind = HeaderValue::from_static(CONTENT_TYPE);
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            error!(%error, "Cannot write the metrics; the request is answered with 500.");
            (StatusCode::INTERNAL_SERVER_ERROR, "cannot write the metrics\n").into_response()
        }
    }
}

/// Whether new connections are welcome. Who asks has reached a listener that is opened last.
async fn ready(State(asked): State<Asked>) -> (StatusCode, String) {
    if asked.observer.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    match asked.observer.store_failure() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(failure) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("nothing can be stored: {failure}\n"))
        }
    }
}
