//! Streams and consumers that come, change and go while they are used.

use super::model::Setting;
use super::swarm;
use super::tamper::Break;
use super::world::{Ask, Result, World};

impl World {
    /// Something happens to a consumer: it is changed, deleted, or made anew.
    pub(super) fn consumer_life(&mut self) -> Result {
        if self.consumers.is_empty() {
            return Ok(());
        }
        let at = self.draw.below(self.consumers.len());
        let consumer = &self.consumers[at];
        if !self.streams[consumer.stream].is_there() || consumer.leaving {
            return Ok(());
        }
        match (consumer.exists, self.draw.below(3)) {
            (false, _) => self.make_consumer(at),
            (true, 0) => self.drop_consumer(at),
            (true, _) => self.change_consumer(at),
        }
    }

    /// Asks for a consumer that is not there.
    pub(super) fn make_consumer(&mut self, at: usize) -> Result {
        let consumer = &mut self.consumers[at];
        let stream = &self.streams[consumer.stream];
        if consumer.coming || !stream.is_there() {
            return Ok(());
        }
        let at_stream = consumer.stream;
        let takes = |ask: &Ask| match ask {
            Ask::Delete { stream, .. } | Ask::Purge { stream, .. } | Ask::Update { stream, .. } => {
                *stream == at_stream
            }
            _ => false,
        };
        (consumer.coming, consumer.calm) = (true, !self.asks.values().any(takes));
        let life = consumer.life;
        let body = swarm::consumer_config(at, consumer, &consumer.setting(), stream);
        let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.{}.{}", stream.name, consumer.name);
        self.saw("consumers made anew");
        self.send(&subject, "", body.as_bytes(), Ask::MakeConsumer { consumer: at, life }).map(|_| ())
    }

    fn drop_consumer(&mut self, at: usize) -> Result {
        let consumer = &mut self.consumers[at];
        consumer.leaving = true;
        let life = consumer.life;
        let verb = if self.broken == Some(Break::KeepConsumer) { "INFO" } else { "DELETE" };
        let subject =
            format!("$JS.API.CONSUMER.{verb}.{}.{}", self.streams[consumer.stream].name, consumer.name);
        self.saw("deletions of consumers");
        self.send(&subject, "", b"", Ask::DropConsumer { consumer: at, life }).map(|_| ())
    }

    fn change_consumer(&mut self, at: usize) -> Result {
        let model = &self.streams[self.consumers[at].stream];
        let (stream, retention) = (model.name.clone(), model.retention);
        let setting = swarm::setting(&mut self.draw, &self.consumers[at], retention);
        let consumer = &mut self.consumers[at];
        let mut body = swarm::consumer_config(at, consumer, &setting, model);
        consumer.exact = false;
        consumer.asked.push(setting.clone());
        consumer.filters.push(setting.filter.clone());
        let life = consumer.life;
        let forget = self.broken == Some(Break::ForgetChange);
        if forget {
            body.clear();
        }
        let verb = if forget { "INFO" } else { "DURABLE.CREATE" };
        let subject = format!("$JS.API.CONSUMER.{verb}.{stream}.{}", consumer.name);
        self.saw("updates of consumers");
        self.send(&subject, "", body.as_bytes(), Ask::ChangeConsumer { consumer: at, life, setting })
            .map(|_| ())
    }

    /// A change was confirmed. Others may have been asked for behind it.
    pub(super) fn consumer_changed(&mut self, at: usize, setting: Setting) {
        let consumer = &mut self.consumers[at];
        let order = self.streams[consumer.stream].next_order;
        let asked = consumer.asked.iter().position(|asked| *asked == setting).map_or(0, |at| at + 1);
        consumer.asked.drain(..asked);
        consumer.adopt(setting, order);
    }

    /// Asks for a stream that is not there.
    pub(super) fn make_stream(&mut self, at: usize) -> Result {
        let stream = &mut self.streams[at];
        if stream.coming || stream.leaving {
            return Ok(());
        }
        stream.coming = true;
        let life = stream.life;
        let body = swarm::stream_config(stream, stream.limits);
        let subject = format!("$JS.API.STREAM.CREATE.{}", stream.name);
        self.saw("streams made anew");
        self.send(&subject, "", body.as_bytes(), Ask::MakeStream { stream: at, life }).map(|_| ())
    }

    /// Asks for the end of a stream.
    pub(super) fn drop_stream(&mut self, at: usize) -> Result {
        let stream = &mut self.streams[at];
        if !stream.is_there() {
            return Ok(());
        }
        stream.leaving = true;
        let life = stream.life;
        let verb = if self.broken == Some(Break::KeepStream) { "INFO" } else { "DELETE" };
        let subject = format!("$JS.API.STREAM.{verb}.{}", stream.name);
        self.saw("deletions of streams");
        self.send(&subject, "", b"", Ask::DropStream { stream: at, life }).map(|_| ())
    }

    /// A stream is gone, and its consumers with it.
    pub(super) fn stream_gone(&mut self, at: usize) {
        self.streams[at].reset();
        let retention = self.streams[at].retention;
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.stream == at) {
            consumer.reset(retention);
            consumer.confirmed.clear();
            consumer.acked.clear();
        }
    }

    /// Answers to requests for streams and consumers.
    pub(super) fn life_answered(&mut self, ask: Ask, error: Option<String>) -> Result {
        let current = match &ask {
            Ask::MakeConsumer { consumer, life }
            | Ask::DropConsumer { consumer, life }
            | Ask::ChangeConsumer { consumer, life, .. } => self.consumers[*consumer].life == *life,
            Ask::MakeStream { stream, life } | Ask::DropStream { stream, life } => {
                self.streams[*stream].life == *life
            }
            _ => return Ok(()),
        };
        let leaving = match &ask {
            Ask::MakeConsumer { consumer, .. }
            | Ask::DropConsumer { consumer, .. }
            | Ask::ChangeConsumer { consumer, .. } => {
                let consumer = &self.consumers[*consumer];
                // One that is deleted before its change is durable is not found any more.
                consumer.leaving || self.streams[consumer.stream].leaving
            }
            _ => false,
        };
        if !current {
            return Ok(());
        }
        if let Some(error) = error {
            // The end of a stream may overtake what was asked of its consumers; an update what was asked after the end of the consumer.
            // A store that was closed in a clean stop takes nothing more, and says so.
            let cut_off = self.stopping && error.contains("store is closed");
            if leaving || cut_off {
                return Ok(());
            }
            return Err(format!("{ask:?} failed: {error}").into());
        }
        match ask {
            Ask::MakeConsumer { consumer, .. } => {
                let stream = &self.streams[self.consumers[consumer].stream];
                let (order, undisturbed) = (stream.next_order, !stream.may_lose());
                self.consumers[consumer].made(order, undisturbed && !self.shaken);
            }
            Ask::DropConsumer { consumer, .. } => {
                let retention = self.streams[self.consumers[consumer].stream].retention;
                self.consumers[consumer].reset(retention);
            }
            Ask::ChangeConsumer { consumer, setting, .. } => self.consumer_changed(consumer, setting),
            Ask::MakeStream { stream, .. } => {
                let stream = &mut self.streams[stream];
                (stream.exists, stream.coming) = (true, false);
            }
            Ask::DropStream { stream, .. } => self.stream_gone(stream),
            _ => {}
        }
        Ok(())
    }
}
