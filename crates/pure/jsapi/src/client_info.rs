//! Who asks: the object that travels in the header `Nats-Request-Info` and in advisories.

use midge_stdx::clock::Wall;

use crate::json::object;

object! {
    /// A client, or what else has a connection. What is not known or not shared is empty.
    pub struct ClientInfo("server.ClientInfo") {
        /// Since when it is connected.
        start: Option<Wall> => "start" omit,
        /// Its address.
        host: String => "host" omit,
        /// The number of its connection.
        id: u64 => "id" omit,
        /// Its account.
        account: String => "acc" omit,
        /// The account through which its request came.
        service: String => "svc" omit,
        /// Its user.
        user: String => "user" omit,
        /// The name that it gave itself.
        name: String => "name" omit,
        /// The language that it is written in.
        lang: String => "lang" omit,
        /// Its version.
        version: String => "ver" omit,
        /// Its round-trip time in nanoseconds.
        rtt_ns: i64 => "rtt" omit "time.Duration",
        /// The server to which it is connected.
        server: String => "server" omit,
        /// The cluster of that server.
        cluster: String => "cluster" omit,
        /// Other clusters that could serve it, the nearest first.
        alternates: Vec<String> => "alts" omit,
        /// When it went.
        stop: Option<Wall> => "stop" omit,
        /// Its user's token.
        jwt: String => "jwt" omit,
        /// The key that issued the token.
        issuer_key: String => "issuer_key" omit,
        /// The name in the token.
        name_tag: String => "name_tag" omit,
        /// The tags in the token.
        tags: Vec<String> => "tags" omit,
        /// `Client`, `Leafnode`, `JetStream`, `Account` and so on.
        kind: String => "kind" omit,
        /// `nats`, `websocket` or `mqtt`.
        client_type: String => "client_type" omit,
        /// The id of an MQTT client.
        client_id: String => "client_id" omit,
        /// What it had to sign.
        nonce: String => "nonce" omit,
        /// The reply subject before it was rewritten.
        reply: String => "reply" omit,
    }
}

impl ClientInfo {
    /// The account on whose behalf a request is served.
    pub fn serving_account(&self) -> &str {
        if self.service.is_empty() { &self.account } else { &self.service }
    }

    /// What advisories tell: all but the token and the other clusters.
    pub fn told(mut self) -> ClientInfo {
        self.jwt.clear();
        self.alternates.clear();
        self
    }
}
