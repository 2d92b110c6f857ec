//! Connections.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use crate::guard::{Guard, Progress};
use crate::limits::{ACCEPT_PAUSE, CONNECTIONS, HEAD_BYTES, HEADER_LINES};
use crate::service::State;

/// A place among the connections that may be open; `None` when there are too many.
fn admit(state: &State) -> Option<OwnedSemaphorePermit> {
    let place = state.connections.clone().try_acquire_owned().ok();
    if place.is_none() {
        tracing::warn!(limited = true, "More than {CONNECTIONS} monitoring connections, closing new ones");
    }
    place
}

/// Serves one connection to its end. When too many are open, it is closed at once.
pub async fn serve_connection<S>(stream: S, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if let Some(_place) = admit(&state) {
        converse(stream, state).await;
    }
}

async fn converse<S>(stream: S, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let progress = Progress::new();
    let guard = Guard::new(stream, progress.clone());
    let service = service_fn(move |request| {
        let (state, progress) = (state.clone(), progress.clone());
        async move {
            progress.requested();
            let answer = state.answer(request).await;
            progress.answered();
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADER_LINES)
        .serve_connection(TokioIo::new(guard), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("Monitoring connection ended: {error}");
    }
}

/// Accepts connections in clear text until `stop` turns true; those that are open are ended then.
pub async fn serve(listener: TcpListener, state: Arc<State>, stop: watch::Receiver<bool>) {
    serve_with(listener, state, stop, |stream| async { Ok(stream) }).await;
}

/// Like [`serve`], with something between the socket and HTTP: `secure` turns an accepted socket into the stream to be
/// served, or says why it cannot. It has to end in time by itself.
pub async fn serve_with<S, F>(
    listener: TcpListener,
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
    secure: impl Fn(TcpStream) -> F,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = Result<S, String>> + Send + 'static,
{
    let mut pause = ACCEPT_PAUSE.0;
    let mut running = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
            Some(_) = running.join_next() => continue,
        };
        match accepted {
            Ok((stream, addr)) => {
                pause = ACCEPT_PAUSE.0;
                let Some(place) = admit(&state) else { continue };
                let (secured, state) = (secure(stream), state.clone());
                running.spawn(async move {
                    match secured.await {
                        Ok(stream) => converse(stream, state).await,
                        Err(error) => tracing::debug!("{addr} - Monitoring TLS handshake error: {error}"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(
                    "Temporary Monitoring Accept Error ({error}), sleeping {}ms",
                    pause.as_millis()
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
}
