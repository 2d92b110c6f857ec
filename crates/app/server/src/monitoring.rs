//! The monitoring listener.

use std::sync::Arc;

use midge_config::schema::Port;
use midge_net::clock::SystemClock;
use midge_node::MonitoringFacts;
use tokio::sync::watch;

use crate::builder::StartError;
use crate::server::{Server, bind, shown_host};

impl Server {
    /// Opens the monitoring port, if one is configured. It answers before clients are let in.
    pub(crate) async fn start_monitoring(&mut self, stop: watch::Receiver<bool>) -> Result<(), StartError> {
        let node = self.node().clone();
        let monitoring = &node.options.monitoring;
        let certificate_expiry = self.tls.as_ref().and_then(|tls| tls.certificate_expiry());
        let mut facts = MonitoringFacts { certificate_expiry, ..MonitoringFacts::default() };
        let (port, secure) = match (monitoring.http, monitoring.https) {
            (Some(port), _) => (port, false),
            (None, Some(port)) => (port, true),
            (None, None) => {
                node.monitoring.store(facts);
                return Ok(());
            }
        };
        let host = &monitoring.host;
        let listener = bind(host, port).await.map_err(|error| {
            let number = if port == Port::Random { 0 } else { port.number() };
            let at = format!("{}:{number}", shown_host(host));
            StartError::System(format!(
                "Can't start monitoring: can't listen to the monitor port: listen tcp {at}: {error}"
            ))
        })?;
        let addr = listener.local_addr().map_err(|error| StartError::System(error.to_string()))?;
        if secure {
            facts.https = addr.port();
        } else {
            facts.http = addr.port();
        }
        node.monitoring.store(facts);
        self.monitor_addr = Some(addr);
        let scheme = if secure { "https" } else { "http" };
        tracing::info!("Starting {scheme} monitor on {}:{}", shown_host(host), addr.port());
        let state = midge_http::State::new(node.clone(), Arc::new(SystemClock), &monitoring.base_path);
        let tls = self.tls.clone().filter(|_| secure);
        self.tasks.push(tokio::spawn(async move {
            match tls {
                None => midge_http::serve(listener, state, stop).await,
                Some(tls) => {
                    let secured = move |stream| {
                        let tls = tls.clone();
                        async move { tls.accept_monitoring(stream).await }
                    };
                    midge_http::serve_with(listener, state, stop, secured).await;
                }
            }
        }));
        Ok(())
    }
}
