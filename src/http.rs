//! The control endpoint: polls, reconciliations, the state of the pipeline, faults, health, metrics, and its
//! own description.
//!
//! It knows neither actors nor Kafka. What it shows of the pipeline it gets through [`PipelineView`], what it
//! keeps it keeps in the [`Store`], so a poll that was answered 202 outlives the process. `docs/api.md` says
//! what callers may rely on.

mod authorization;
mod body;
mod description;
mod fault_request;
mod faults;
mod fields;
mod health;
mod list_request;
mod pipeline;
mod poll_request;
mod polls;
mod problem;
mod reconciliations;
mod responses;
mod served_certificate;
mod view;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, guard, web};

pub use self::description::OPENAPI;
use self::problem::Problem;
pub use self::served_certificate::{ServedTlsError, server_config};
pub use self::view::PipelineView;
use crate::config::Settings;
use crate::store::Store;
use crate::supervision::Watchdog;

/// Few threads suffice: requests are rare, and each only waits for the database.
const WORKERS: usize = 2;
/// How long a client may take to send the head of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers under way are waited for when the server stops; the drain of the pipeline comes before.
const SHUTDOWN_SECONDS: u64 = 2;

/// What every request may use.
#[derive(Clone)]
pub struct ControlState {
    pub store: Store,
    pub view: Arc<dyn PipelineView>,
    pub settings: Arc<Settings>,
    pub watchdog: Watchdog,
}

/// Serves on a listener that is bound already, so that its port is known. The caller polls the server and
/// stops it: signals are not its business.
pub fn serve(listener: TcpListener, state: ControlState) -> std::io::Result<Server> {
    let own = state.settings.http.own_certificate();
    let state = web::Data::new(state);
    // Called once by each worker, on its own thread: one that stands still would leave every second request
    // without an answer.
    let app = move || {
        let watchdog = state.watchdog.clone();
        let beat = watchdog.watch("http worker");
        actix_web::rt::spawn(watchdog.keep_turning(beat));
        App::new().wrap(from_fn(problem::name_instance)).app_data(state.clone()).configure(routes)
    };
    let server = HttpServer::new(app)
        .workers(WORKERS)
        .client_request_timeout(REQUEST_TIMEOUT)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .tls_handshake_timeout(REQUEST_TIMEOUT)
        .disable_signals();
    let server = match own {
        None => server.listen(listener)?,
        Some(own) => {
            let config = server_config(own).map_err(std::io::Error::other)?;
            server.listen_rustls_0_23(listener, config)?
        }
    };
    Ok(server.run())
}

fn routes(app: &mut web::ServiceConfig) {
    app.service(
        web::scope("/v1")
            .wrap(from_fn(authorization::require_token))
            .service(
                web::resource("/polls")
                    .name("polls")
                    .route(read(polls::list))
                    .route(web::post().to(polls::submit))
                    .default_service(web::to(|request| refuse_method(request, "GET, HEAD, POST"))),
            )
            .service(
                web::resource("/polls/{id}")
                    .route(read(polls::show))
                    .route(web::delete().to(polls::cancel))
                    .default_service(web::to(|request| refuse_method(request, "GET, HEAD, DELETE"))),
            )
            .service(
                web::resource("/faults")
                    .name("faults")
                    .route(read(faults::list))
                    .route(web::post().to(faults::arm))
                    .route(web::delete().to(faults::clear_all))
                    .default_service(web::to(|request| refuse_method(request, "GET, HEAD, POST, DELETE"))),
            )
            .service(
                web::resource("/faults/{id}")
                    .route(read(faults::show))
                    .route(web::delete().to(faults::clear))
                    .default_service(web::to(|request| refuse_method(request, "GET, HEAD, DELETE"))),
            )
            .service(
                web::resource("/reconciliations")
                    .name("reconciliations")
                    .route(read(reconciliations::list))
                    .route(web::post().to(reconciliations::submit))
                    .default_service(web::to(|request| refuse_method(request, "GET, HEAD, POST"))),
            )
            .service(
                web::resource("/reconciliations/{id}")
                    .route(read(reconciliations::show))
                    .route(web::delete().to(reconciliations::cancel))
                    .default_service(web::to(|request| refuse_method(request, "GET, HEAD, DELETE"))),
            )
            .service(only_read("/pipeline", pipeline::show))
            .default_service(web::to(not_found)),
    )
    .service(only_read("/healthz", health::alive))
    .service(only_read("/readyz", health::ready))
    .service(only_read("/metrics", health::metrics))
    .service(only_read("/openapi.json", description::show))
    .default_service(web::to(not_found));
}

/// Answers GET, and HEAD as GET without its body.
fn read<F, Args>(handler: F) -> actix_web::Route
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler)
}

fn only_read<F, Args>(path: &str, handler: F) -> actix_web::Resource
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    web::resource(path)
        .route(read(handler))
        .default_service(web::to(|request| refuse_method(request, "GET, HEAD")))
}

async fn refuse_method(request: HttpRequest, allowed: &'static str) -> Result<HttpResponse, Problem> {
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header(("Allow", allowed)).finish());
    }
    Err(Problem::method_not_allowed(request.method().as_str(), allowed))
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::no_such_resource())
}
