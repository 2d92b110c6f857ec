//! What happens to the API, to servers and to the cluster.

use super::Event;
use crate::client_info::ClientInfo;
use crate::info::PeerInfo;
use crate::json::Fields;

/// A request was answered.
#[derive(Clone, Copy, Debug)]
pub struct ApiAudit<'a> {
    /// The name of the server.
    pub server: &'a str,
    /// Who asked.
    pub client: &'a ClientInfo,
    /// The subject of the request.
    pub subject: &'a str,
    /// Its body.
    pub request: &'a [u8],
    /// The answer.
    pub response: &'a [u8],
}

impl Event for ApiAudit<'_> {
    fn kind(&self) -> &'static str {
        "api_audit"
    }

    fn subject(&self) -> String {
        "$JS.EVENT.ADVISORY.API".to_owned()
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("server", self.server);
        fields.always("client", self.client);
        fields.text("subject", self.subject);
        if !self.request.is_empty() {
            fields.lossy("request", self.request);
        }
        fields.lossy("response", self.response);
        fields.text_omit("domain", domain);
    }
}

/// Requests were thrown away because too many waited.
#[derive(Clone, Copy, Debug)]
pub struct ApiLimitReached<'a> {
    /// The name of the server.
    pub server: &'a str,
    /// How many.
    pub dropped: u64,
}

impl Event for ApiLimitReached<'_> {
    fn kind(&self) -> &'static str {
        "api_limit_reached"
    }

    fn subject(&self) -> String {
        "$JS.EVENT.ADVISORY.API.LIMIT_REACHED".to_owned()
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("server", self.server);
        fields.text_omit("domain", domain);
        fields.number("dropped", self.dropped);
    }
}

/// A server has begun to lead the controllers of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct DomainLeaderElected<'a> {
    /// The server.
    pub leader: &'a str,
    /// All controllers.
    pub replicas: &'a [PeerInfo],
    /// The cluster.
    pub cluster: &'a str,
}

impl Event for DomainLeaderElected<'_> {
    fn kind(&self) -> &'static str {
        "domain_leader_elected"
    }

    fn subject(&self) -> String {
        "$JS.EVENT.ADVISORY.DOMAIN.LEADER_ELECTED".to_owned()
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("leader", self.leader);
        fields.list("replicas", self.replicas);
        fields.text("cluster", self.cluster);
        fields.text_omit("domain", domain);
    }
}

/// A server has no room left.
#[derive(Clone, Copy, Debug)]
pub struct ServerOutOfStorage<'a> {
    /// Its name.
    pub server: &'a str,
    /// Its id.
    pub server_id: &'a str,
    /// The stream that could not grow; may be empty.
    pub stream: &'a str,
    /// The cluster.
    pub cluster: &'a str,
}

impl Event for ServerOutOfStorage<'_> {
    fn kind(&self) -> &'static str {
        "server_out_of_space"
    }

    fn subject(&self) -> String {
        "$JS.EVENT.ADVISORY.SERVER.OUT_OF_STORAGE".to_owned()
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("server", self.server);
        fields.text("server_id", self.server_id);
        fields.text_omit("stream", self.stream);
        fields.text("cluster", self.cluster);
        fields.text_omit("domain", domain);
    }
}

/// A server was taken out of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct ServerRemoved<'a> {
    /// Its name.
    pub server: &'a str,
    /// Its id.
    pub server_id: &'a str,
    /// The cluster.
    pub cluster: &'a str,
}

impl Event for ServerRemoved<'_> {
    fn kind(&self) -> &'static str {
        "server_removed"
    }

    fn subject(&self) -> String {
        "$JS.EVENT.ADVISORY.SERVER.REMOVED".to_owned()
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("server", self.server);
        fields.text("server_id", self.server_id);
        fields.text("cluster", self.cluster);
        fields.text_omit("domain", domain);
    }
}

/// The controllers go on with fewer of them.
#[derive(Clone, Copy, Debug)]
pub struct MetaRescue<'a> {
    /// The name of the server.
    pub server: &'a str,
    /// Its id.
    pub server_id: &'a str,
    /// How many were needed.
    pub prev_quorum: u64,
    /// How many suffice.
    pub new_quorum: u64,
    /// The cluster.
    pub cluster: &'a str,
}

impl Event for MetaRescue<'_> {
    fn kind(&self) -> &'static str {
        "meta_rescue"
    }

    fn subject(&self) -> String {
        "$JS.EVENT.ADVISORY.SERVER.META_RESCUE".to_owned()
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("server", self.server);
        fields.text("server_id", self.server_id);
        fields.number("prev_quorum", self.prev_quorum);
        fields.number("new_quorum", self.new_quorum);
        fields.text("cluster", self.cluster);
        fields.text_omit("domain", domain);
    }
}
