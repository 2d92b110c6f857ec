//! The monitoring listener.

use tokio::sync::watch;

use crate::builder::StartError;
use crate::server::Server;

impl Server {
    pub(crate) async fn start_monitoring(&mut self, _stop: watch::Receiver<bool>) -> Result<(), StartError> {
        Ok(())
    }
}
