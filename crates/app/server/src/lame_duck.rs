//! Leaving gracefully: clients are told, then closed one by one over a while.

use std::time::Duration;

use midge_broker::broker::Broker;
use midge_broker::reason::Reason;
use midge_net::entropy::SystemEntropy;
use midge_stdx::entropy::Entropy as _;

/// The longest pause between two clients.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause that spreads `clients` over `time`, before jitter: at most a second each.
fn pause(time: Duration, clients: usize) -> Duration {
    let clients = u32::try_from(clients.max(1)).unwrap_or(u32::MAX);
    (time / clients).min(LONGEST_PAUSE)
}

/// Waits `grace`, then closes every client in the rest of `duration`. The listeners are closed already, and the clients
/// have been told.
pub(crate) async fn close_clients(broker: &Broker, duration: Duration, grace: Duration) {
    tokio::time::sleep(grace).await;
    tracing::info!("Closing existing clients");
    let peers = broker.peers();
    let base = pause(duration.saturating_sub(grace).max(LONGEST_PAUSE), peers.len());
    let mut entropy = SystemEntropy;
    for peer in peers {
        peer.close(Reason::ServerShutdown);
        let half = base / 2;
        let jitter = entropy.below(u64::try_from(half.as_nanos()).unwrap_or(0));
        tokio::time::sleep(half + Duration::from_nanos(jitter)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_spread_over_the_time_and_stay_below_a_second() {
        assert_eq!(pause(Duration::from_secs(110), 1), LONGEST_PAUSE);
        assert_eq!(pause(Duration::from_secs(110), 1100), Duration::from_millis(100));
        assert_eq!(pause(Duration::from_secs(110), 0), LONGEST_PAUSE);
    }
}
