//! The subjects of the API.

use crate::responses::kind;

/// A call of the API, with the names that its subject carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of streams, consumers and accounts")]
pub enum ApiCall<'a> {
    /// What the account uses and may use.
    Info,
    /// Make a stream.
    StreamCreate { stream: &'a str },
    /// Change a stream.
    StreamUpdate { stream: &'a str },
    /// The names of the streams.
    StreamNames,
    /// The streams.
    StreamList,
    /// One stream.
    StreamInfo { stream: &'a str },
    /// Remove a stream.
    StreamDelete { stream: &'a str },
    /// Remove messages of a stream.
    StreamPurge { stream: &'a str },
    /// Read a message.
    MsgGet { stream: &'a str },
    /// Delete a message.
    MsgDelete { stream: &'a str },
    /// Copy a stream out.
    StreamSnapshot { stream: &'a str },
    /// Make a stream from a copy.
    StreamRestore { stream: &'a str },
    /// Let another server lead a stream.
    StreamLeaderStepdown { stream: &'a str },
    /// Take a stream's copy from a server.
    StreamPeerRemove { stream: &'a str },
    /// Move a stream's copy off a server.
    StreamPeerEvacuate { stream: &'a str },
    /// Stop moving a stream.
    StreamCancelMove { stream: &'a str },
    /// Read messages from any copy; the subject stands for the last message of it.
    DirectGet { stream: &'a str, subject: Option<&'a str> },
    /// Make or change a consumer; without a name in the subject one that goes when it is not used.
    ConsumerCreate { stream: &'a str, consumer: Option<&'a str>, filter: Option<&'a str> },
    /// Make or change a consumer that stays, in the old way.
    ConsumerDurableCreate { stream: &'a str, consumer: &'a str },
    /// The names of the consumers.
    ConsumerNames { stream: &'a str },
    /// The consumers.
    ConsumerList { stream: &'a str },
    /// One consumer.
    ConsumerInfo { stream: &'a str, consumer: &'a str },
    /// Remove a consumer.
    ConsumerDelete { stream: &'a str, consumer: &'a str },
    /// Stop or resume delivery.
    ConsumerPause { stream: &'a str, consumer: &'a str },
    /// Begin delivery anew.
    ConsumerReset { stream: &'a str, consumer: &'a str },
    /// Let another client be served.
    ConsumerUnpin { stream: &'a str, consumer: &'a str },
    /// Ask for messages.
    ConsumerNext { stream: &'a str, consumer: &'a str },
    /// Let another server lead a consumer.
    ConsumerLeaderStepdown { stream: &'a str, consumer: &'a str },
    /// Take a consumer's copy from a server.
    ConsumerPeerRemove { stream: &'a str, consumer: &'a str },
    /// Move a consumer's copy off a server.
    ConsumerPeerEvacuate { stream: &'a str, consumer: &'a str },
    /// Let another server lead the controllers.
    MetaLeaderStepdown,
    /// Let the controllers go on with fewer of them.
    MetaRescue,
    /// Take a server out of the cluster.
    ServerRemove,
    /// Move everything off a server.
    ServerEvacuate,
    /// Remove all streams of an account.
    AccountPurge { account: &'a str },
    /// Move a stream of an account.
    AccountStreamMove { account: &'a str, stream: &'a str },
    /// Stop moving it.
    AccountStreamCancelMove { account: &'a str, stream: &'a str },
}

impl<'a> ApiCall<'a> {
    /// The call that a subject stands for; none when the API has no such subject, which then is not answered.
    pub fn parse(subject: &'a [u8]) -> Option<ApiCall<'a>> {
        let rest = std::str::from_utf8(subject).ok()?.strip_prefix(super::API_PREFIX)?;
        let (area, rest) = rest.split_once('.').unwrap_or((rest, ""));
        if rest.split('.').any(str::is_empty) && area != "INFO" {
            return None;
        }
        match area {
            "INFO" => rest.is_empty().then_some(ApiCall::Info),
            "STREAM" => ApiCall::of_stream(rest),
            "CONSUMER" => ApiCall::of_consumer(rest),
            "DIRECT" => {
                let rest = rest.strip_prefix("GET.")?;
                let (stream, subject) = rest.split_once('.').map_or((rest, None), |(s, r)| (s, Some(r)));
                Some(ApiCall::DirectGet { stream, subject })
            }
            "META" => match rest {
                "LEADER.STEPDOWN" => Some(ApiCall::MetaLeaderStepdown),
                "RESCUE" => Some(ApiCall::MetaRescue),
                _ => None,
            },
            "SERVER" => match rest {
                "REMOVE" => Some(ApiCall::ServerRemove),
                "EVACUATE" => Some(ApiCall::ServerEvacuate),
                _ => None,
            },
            "ACCOUNT" => ApiCall::of_account(rest),
            _ => None,
        }
    }

    fn of_stream(rest: &'a str) -> Option<ApiCall<'a>> {
        match rest {
            "NAMES" => return Some(ApiCall::StreamNames),
            "LIST" => return Some(ApiCall::StreamList),
            _ => {}
        }
        let (verb, stream) = rest.rsplit_once('.')?;
        Some(match verb {
            "CREATE" => ApiCall::StreamCreate { stream },
            "UPDATE" => ApiCall::StreamUpdate { stream },
            "INFO" => ApiCall::StreamInfo { stream },
            "DELETE" => ApiCall::StreamDelete { stream },
            "PURGE" => ApiCall::StreamPurge { stream },
            "MSG.GET" => ApiCall::MsgGet { stream },
            "MSG.DELETE" => ApiCall::MsgDelete { stream },
            "SNAPSHOT" => ApiCall::StreamSnapshot { stream },
            "RESTORE" => ApiCall::StreamRestore { stream },
            "LEADER.STEPDOWN" => ApiCall::StreamLeaderStepdown { stream },
            "PEER.REMOVE" => ApiCall::StreamPeerRemove { stream },
            "PEER.EVACUATE" => ApiCall::StreamPeerEvacuate { stream },
            "CANCEL_MOVE" => ApiCall::StreamCancelMove { stream },
            _ => return None,
        })
    }

    fn of_consumer(rest: &'a str) -> Option<ApiCall<'a>> {
        if let Some(rest) = rest.strip_prefix("CREATE.") {
            let mut parts = rest.splitn(3, '.');
            let stream = parts.next()?;
            return Some(ApiCall::ConsumerCreate { stream, consumer: parts.next(), filter: parts.next() });
        }
        if let Some((verb, stream)) = rest.split_once('.').filter(|(_, stream)| !stream.contains('.')) {
            return match verb {
                "NAMES" => Some(ApiCall::ConsumerNames { stream }),
                "LIST" => Some(ApiCall::ConsumerList { stream }),
                _ => None,
            };
        }
        let (head, consumer) = rest.rsplit_once('.')?;
        let (verb, stream) = head.rsplit_once('.')?;
        Some(match verb {
            "DURABLE.CREATE" => ApiCall::ConsumerDurableCreate { stream, consumer },
            "INFO" => ApiCall::ConsumerInfo { stream, consumer },
            "DELETE" => ApiCall::ConsumerDelete { stream, consumer },
            "PAUSE" => ApiCall::ConsumerPause { stream, consumer },
            "RESET" => ApiCall::ConsumerReset { stream, consumer },
            "UNPIN" => ApiCall::ConsumerUnpin { stream, consumer },
            "MSG.NEXT" => ApiCall::ConsumerNext { stream, consumer },
            "LEADER.STEPDOWN" => ApiCall::ConsumerLeaderStepdown { stream, consumer },
            "PEER.REMOVE" => ApiCall::ConsumerPeerRemove { stream, consumer },
            "PEER.EVACUATE" => ApiCall::ConsumerPeerEvacuate { stream, consumer },
            _ => return None,
        })
    }

    fn of_account(rest: &'a str) -> Option<ApiCall<'a>> {
        if let Some(account) = rest.strip_prefix("PURGE.") {
            return (!account.contains('.')).then_some(ApiCall::AccountPurge { account });
        }
        let rest = rest.strip_prefix("STREAM.")?;
        let (verb, rest) = rest.split_once('.')?;
        let (account, stream) = rest.split_once('.').filter(|(_, stream)| !stream.contains('.'))?;
        match verb {
            "MOVE" => Some(ApiCall::AccountStreamMove { account, stream }),
            "CANCEL_MOVE" => Some(ApiCall::AccountStreamCancelMove { account, stream }),
            _ => None,
        }
    }

    /// Whether requests wait in the queue of those that only tell.
    pub fn only_tells(self) -> bool {
        matches!(
            self,
            ApiCall::Info
                | ApiCall::StreamNames
                | ApiCall::StreamList
                | ApiCall::StreamInfo { .. }
                | ApiCall::ConsumerNames { .. }
                | ApiCall::ConsumerList { .. }
                | ApiCall::ConsumerInfo { .. }
        )
    }

    /// Whether the account itself subscribes to it: no audit, no statistics, and nobody there is an answer.
    pub fn is_of_the_account(self) -> bool {
        matches!(
            self,
            ApiCall::DirectGet { .. } | ApiCall::ConsumerNext { .. } | ApiCall::ConsumerReset { .. }
        )
    }

    /// Whether it concerns the members of a cluster, and is refused without one.
    pub fn needs_a_cluster(self) -> bool {
        matches!(
            self,
            ApiCall::StreamLeaderStepdown { .. }
                | ApiCall::StreamPeerRemove { .. }
                | ApiCall::StreamPeerEvacuate { .. }
                | ApiCall::StreamCancelMove { .. }
                | ApiCall::ConsumerLeaderStepdown { .. }
                | ApiCall::ConsumerPeerRemove { .. }
                | ApiCall::ConsumerPeerEvacuate { .. }
        )
    }

    /// Whether it is served to the system account alone.
    pub fn is_of_the_system(self) -> bool {
        matches!(
            self,
            ApiCall::MetaLeaderStepdown
                | ApiCall::MetaRescue
                | ApiCall::ServerRemove
                | ApiCall::ServerEvacuate
                | ApiCall::AccountPurge { .. }
                | ApiCall::AccountStreamMove { .. }
                | ApiCall::AccountStreamCancelMove { .. }
        )
    }

    /// The [`kind`] of the answer; empty where the answer is no JSON.
    pub fn reply_kind(self) -> &'static str {
        match self {
            ApiCall::Info => kind::ACCOUNT_INFO,
            ApiCall::StreamCreate { .. } => kind::STREAM_CREATE,
            ApiCall::StreamUpdate { .. } | ApiCall::AccountStreamMove { .. } => kind::STREAM_UPDATE,
            ApiCall::StreamNames => kind::STREAM_NAMES,
            ApiCall::StreamList => kind::STREAM_LIST,
            ApiCall::StreamInfo { .. } => kind::STREAM_INFO,
            ApiCall::StreamDelete { .. } => kind::STREAM_DELETE,
            ApiCall::StreamPurge { .. } => kind::STREAM_PURGE,
            ApiCall::MsgGet { .. } => kind::MSG_GET,
            ApiCall::MsgDelete { .. } => kind::MSG_DELETE,
            ApiCall::StreamSnapshot { .. } => kind::STREAM_SNAPSHOT,
            ApiCall::StreamRestore { .. } => kind::STREAM_RESTORE,
            ApiCall::StreamLeaderStepdown { .. } => kind::STREAM_LEADER_STEPDOWN,
            ApiCall::StreamPeerRemove { .. } => kind::STREAM_PEER_REMOVE,
            ApiCall::StreamPeerEvacuate { .. } => kind::STREAM_PEER_EVACUATE,
            ApiCall::StreamCancelMove { .. } | ApiCall::AccountStreamCancelMove { .. } => {
                kind::STREAM_CANCEL_MOVE
            }
            ApiCall::DirectGet { .. } | ApiCall::ConsumerNext { .. } => "",
            ApiCall::ConsumerCreate { .. } | ApiCall::ConsumerDurableCreate { .. } => kind::CONSUMER_CREATE,
            ApiCall::ConsumerNames { .. } => kind::CONSUMER_NAMES,
            ApiCall::ConsumerList { .. } => kind::CONSUMER_LIST,
            ApiCall::ConsumerInfo { .. } => kind::CONSUMER_INFO,
            ApiCall::ConsumerDelete { .. } => kind::CONSUMER_DELETE,
            ApiCall::ConsumerPause { .. } => kind::CONSUMER_PAUSE,
            ApiCall::ConsumerReset { .. } => kind::CONSUMER_RESET,
            ApiCall::ConsumerUnpin { .. } => kind::CONSUMER_UNPIN,
            ApiCall::ConsumerLeaderStepdown { .. } => kind::CONSUMER_LEADER_STEPDOWN,
            ApiCall::ConsumerPeerRemove { .. } => kind::CONSUMER_PEER_REMOVE,
            ApiCall::ConsumerPeerEvacuate { .. } => kind::CONSUMER_PEER_EVACUATE,
            ApiCall::MetaLeaderStepdown => kind::META_LEADER_STEPDOWN,
            ApiCall::MetaRescue => kind::META_RESCUE,
            ApiCall::ServerRemove => kind::SERVER_REMOVE,
            ApiCall::ServerEvacuate => kind::SERVER_EVACUATE,
            ApiCall::AccountPurge { .. } => kind::ACCOUNT_PURGE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(subject: &str) -> Option<ApiCall<'_>> {
        ApiCall::parse(subject.as_bytes())
    }

    #[test]
    fn every_subject_is_a_call() {
        let (stream, consumer, account) = ("S", "C", "A");
        for (subject, expected) in [
            ("$JS.API.INFO", ApiCall::Info),
            ("$JS.API.STREAM.CREATE.S", ApiCall::StreamCreate { stream }),
            ("$JS.API.STREAM.UPDATE.S", ApiCall::StreamUpdate { stream }),
            ("$JS.API.STREAM.NAMES", ApiCall::StreamNames),
            ("$JS.API.STREAM.LIST", ApiCall::StreamList),
            ("$JS.API.STREAM.INFO.S", ApiCall::StreamInfo { stream }),
            ("$JS.API.STREAM.DELETE.S", ApiCall::StreamDelete { stream }),
            ("$JS.API.STREAM.PURGE.S", ApiCall::StreamPurge { stream }),
            ("$JS.API.STREAM.MSG.GET.S", ApiCall::MsgGet { stream }),
            ("$JS.API.STREAM.MSG.DELETE.S", ApiCall::MsgDelete { stream }),
            ("$JS.API.STREAM.SNAPSHOT.S", ApiCall::StreamSnapshot { stream }),
            ("$JS.API.STREAM.RESTORE.S", ApiCall::StreamRestore { stream }),
            ("$JS.API.STREAM.LEADER.STEPDOWN.S", ApiCall::StreamLeaderStepdown { stream }),
            ("$JS.API.STREAM.PEER.REMOVE.S", ApiCall::StreamPeerRemove { stream }),
            ("$JS.API.STREAM.PEER.EVACUATE.S", ApiCall::StreamPeerEvacuate { stream }),
            ("$JS.API.STREAM.CANCEL_MOVE.S", ApiCall::StreamCancelMove { stream }),
            ("$JS.API.DIRECT.GET.S", ApiCall::DirectGet { stream, subject: None }),
            ("$JS.API.DIRECT.GET.S.a.b", ApiCall::DirectGet { stream, subject: Some("a.b") }),
            ("$JS.API.CONSUMER.CREATE.S", ApiCall::ConsumerCreate { stream, consumer: None, filter: None }),
            (
                "$JS.API.CONSUMER.CREATE.S.C",
                ApiCall::ConsumerCreate { stream, consumer: Some("C"), filter: None },
            ),
            (
                "$JS.API.CONSUMER.CREATE.S.C.a.*.>",
                ApiCall::ConsumerCreate { stream, consumer: Some("C"), filter: Some("a.*.>") },
            ),
            ("$JS.API.CONSUMER.DURABLE.CREATE.S.C", ApiCall::ConsumerDurableCreate { stream, consumer }),
            ("$JS.API.CONSUMER.NAMES.S", ApiCall::ConsumerNames { stream }),
            ("$JS.API.CONSUMER.LIST.S", ApiCall::ConsumerList { stream }),
            ("$JS.API.CONSUMER.INFO.S.C", ApiCall::ConsumerInfo { stream, consumer }),
            ("$JS.API.CONSUMER.DELETE.S.C", ApiCall::ConsumerDelete { stream, consumer }),
            ("$JS.API.CONSUMER.PAUSE.S.C", ApiCall::ConsumerPause { stream, consumer }),
            ("$JS.API.CONSUMER.RESET.S.C", ApiCall::ConsumerReset { stream, consumer }),
            ("$JS.API.CONSUMER.UNPIN.S.C", ApiCall::ConsumerUnpin { stream, consumer }),
            ("$JS.API.CONSUMER.MSG.NEXT.S.C", ApiCall::ConsumerNext { stream, consumer }),
            ("$JS.API.CONSUMER.LEADER.STEPDOWN.S.C", ApiCall::ConsumerLeaderStepdown { stream, consumer }),
            ("$JS.API.CONSUMER.PEER.REMOVE.S.C", ApiCall::ConsumerPeerRemove { stream, consumer }),
            ("$JS.API.CONSUMER.PEER.EVACUATE.S.C", ApiCall::ConsumerPeerEvacuate { stream, consumer }),
            ("$JS.API.META.LEADER.STEPDOWN", ApiCall::MetaLeaderStepdown),
            ("$JS.API.META.RESCUE", ApiCall::MetaRescue),
            ("$JS.API.SERVER.REMOVE", ApiCall::ServerRemove),
            ("$JS.API.SERVER.EVACUATE", ApiCall::ServerEvacuate),
            ("$JS.API.ACCOUNT.PURGE.A", ApiCall::AccountPurge { account }),
            ("$JS.API.ACCOUNT.STREAM.MOVE.A.S", ApiCall::AccountStreamMove { account, stream }),
            ("$JS.API.ACCOUNT.STREAM.CANCEL_MOVE.A.S", ApiCall::AccountStreamCancelMove { account, stream }),
        ] {
            assert_eq!(call(subject), Some(expected), "{subject}");
            assert!(
                !expected.reply_kind().is_empty()
                    || matches!(expected, ApiCall::DirectGet { .. } | ApiCall::ConsumerNext { .. })
            );
        }
    }

    #[test]
    fn other_subjects_are_none() {
        for subject in [
            "",
            "$JS.API",
            "$JS.API.",
            "$JS.API.INFO.x",
            "$JS.API.STREAM",
            "$JS.API.STREAM.CREATE",
            "$JS.API.STREAM.CREATE.S.x",
            "$JS.API.STREAM.CREATE.",
            "$JS.API.STREAM.NAMES.x",
            "$JS.API.STREAM.MSG.PUT.S",
            "$JS.API.CONSUMER.CREATE",
            "$JS.API.CONSUMER.CREATE.S..x",
            "$JS.API.CONSUMER.INFO.S",
            "$JS.API.CONSUMER.INFO.S.C.x",
            "$JS.API.CONSUMER.DURABLE.CREATE.S",
            "$JS.API.DIRECT.GET",
            "$JS.API.DIRECT.PUT.S",
            "$JS.API.META.x",
            "$JS.API.ACCOUNT.PURGE.a.b",
            "$JS.API.ACCOUNT.STREAM.MOVE.A",
            "$JS.D.API.INFO",
        ] {
            assert_eq!(call(subject), None, "{subject}");
        }
        assert_eq!(ApiCall::parse(b"$JS.API.STREAM.INFO.\xff"), None);
    }
}
