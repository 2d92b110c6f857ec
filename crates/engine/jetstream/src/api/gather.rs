//! A list that many hosts write, each its own part.

use std::sync::Arc;

use midge_broker::batch::Batch;
use midge_jsapi::info::StreamInfo;
use midge_jsapi::responses::{Paging, StreamList, kind};
use midge_stdx::clock::Now;
use midge_sync::ordlock::Mutex;
use midge_sync::rank;

use super::ApiRequest;
use super::manager::Told;

struct Inner {
    request: Option<Box<ApiRequest>>,
    list: StreamList,
    parts: Vec<Option<StreamInfo>>,
    missing: usize,
}

/// See the module.
pub(crate) struct Gather(Mutex<{ rank::LEAF }, Inner>);

/// One part of a list, to be filled by one host. Dropped unfilled, it is left out.
pub(crate) struct Place {
    gather: Arc<Gather>,
    at: usize,
    filled: bool,
}

impl Gather {
    /// A list of so many parts. What cannot be asked is named in `list` already.
    pub(crate) fn begin(
        request: Box<ApiRequest>,
        paging: Paging,
        list: StreamList,
        parts: usize,
    ) -> (Arc<Gather>, Vec<Place>) {
        let list = StreamList { paging, ..list };
        let inner = Inner { request: Some(request), list, parts: vec![None; parts], missing: parts };
        let gather = Arc::new(Gather(Mutex::new(inner)));
        let places = (0..parts).map(|at| Place { gather: gather.clone(), at, filled: false }).collect();
        (gather, places)
    }

    /// Answers if nothing is missing.
    pub(crate) fn finish(&self, batch: &mut Batch, now: Now) {
        let done = {
            let mut inner = self.0.lock();
            if inner.missing > 0 {
                return;
            }
            let Some(request) = inner.request.take() else { return };
            let mut list = std::mem::take(&mut inner.list);
            list.streams = inner.parts.drain(..).flatten().collect();
            (request, list)
        };
        let (request, list) = done;
        request.answer(batch, kind::STREAM_LIST, &list, now);
    }
}

impl Place {
    /// Fills it, and answers when it was the last.
    pub(crate) fn fill(mut self, batch: &mut Batch, info: StreamInfo, now: Now) {
        {
            let mut inner = self.gather.0.lock();
            if let Some(part) = inner.parts.get_mut(self.at) {
                *part = Some(info);
            }
            inner.missing -= 1;
        }
        self.filled = true;
        self.gather.finish(batch, now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.filled {
            return;
        }
        let js = {
            let mut inner = self.gather.0.lock();
            inner.missing -= 1;
            let last = inner.missing == 0;
            inner.request.as_ref().filter(|_| last).map(|request| request.js.clone())
        };
        // Nobody else comes who could answer.
        if let Some(js) = js {
            js.manager.tell(Told::Gathered(self.gather.clone()));
        }
    }
}
