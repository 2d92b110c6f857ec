//! What others asked of this connection.

use std::sync::Arc;

use midge_auth::permissions::Permissions;
use midge_wire::encode;

use super::client::ClientConn;
use super::subscriptions::Denied;
use crate::batch::Batch;
use crate::peer::Order;
use crate::subscription::Subscription;

impl ClientConn {
    /// Carries out orders and forgets ended subscriptions; called before input, and when the connection is woken.
    pub fn catch_up(&mut self, batch: &mut Batch) {
        self.forget_ended();
        if !self.peer.has_orders() {
            return;
        }
        for order in self.peer.take_orders() {
            match order {
                Order::Permissions(permissions) => self.change_permissions(batch, permissions),
                Order::LameDuck => self.announce_lame_duck(batch),
            }
        }
    }

    fn announce_lame_duck(&self, batch: &mut Batch) {
        if self.options.protocol < 1 || !self.introduced {
            return;
        }
        let users = self.broker.users();
        let mut info = self.broker.info(&self.settings, &self.peer, &users);
        info.ldm = true;
        info.max_payload = self.rules.max_payload;
        batch.send(&self.peer, &encode::info(&info.to_json()));
    }

    /// Publishing follows at once; subscriptions are checked again, and those refused are removed.
    fn change_permissions(&mut self, batch: &mut Batch, permissions: Option<Arc<Permissions>>) {
        self.peer.set_permissions(permissions.clone(), batch.now);
        self.permissions = permissions;
        let all: Vec<Arc<Subscription>> = self.subscriptions.iter().cloned().collect();
        for sub in all {
            let allowed =
                self.permissions.as_ref().is_none_or(|p| p.may_subscribe(sub.subject(), sub.queue()));
            let filtered =
                self.permissions.as_ref().is_some_and(|p| p.delivery_filter(sub.subject(), sub.queue()));
            if !allowed {
                let denied = Denied { subject: sub.subject(), queue: sub.queue(), sid: Some(sub.sid()) };
                self.send_error(batch, &denied.text());
                let user = self.peer.with_details(|d| d.user.clone());
                tracing::info!(
                    "{} - Removed sub {} (sid {}) for User {} - not authorized",
                    self.peer.label(),
                    midge_stdx::goquote::quote(sub.subject()),
                    midge_stdx::goquote::quote(sub.sid()),
                    midge_stdx::goquote::quote(user.as_bytes()),
                );
                self.remove(&sub);
            } else if filtered && !sub.filtered() {
                sub.set_filtered();
            }
        }
    }
}
