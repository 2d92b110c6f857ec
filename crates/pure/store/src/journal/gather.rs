//! One operation after the other into the frame of the round.

use std::sync::Arc;

use super::apply::last_block;
use super::clear::Small;
use super::commit::{Flow, aside, put_file};
use super::committer::{Committer, Event, fingerprint};
use super::lanes::{ConsumerState, FileId};
use super::post::{Act, Post};
use super::record::{Fingerprint, Ground};
use super::{INDEX, STAGED, limits, parent, record};
use crate::format::names;
use crate::port::{Completion, DiskError, Fault, Mode, Name, Op, Promise, Submission};

type Gathered = Result<Flow, DiskError>;

pub(super) fn is_index(name: &Name) -> bool {
    matches!(name, Name::Path(path) if **path == *INDEX)
}

fn fits(count: usize) -> Result<(), DiskError> {
    if count <= usize::from(u16::MAX - 1) {
        return Ok(());
    }
    let text = format!("{count} files in one operation");
    Err(DiskError { fault: Fault::Denied, call: "submit", path: String::new(), text })
}

fn names_len<'a>(names: impl Iterator<Item = &'a Name>) -> usize {
    names.map(|name| if let Name::Path(path) = name { path.len() + 24 } else { 24 }).sum()
}

impl Committer {
    /// Takes the lane's next operation, or several writes that continue each other. An error is the operation's own.
    pub(super) fn gather(
        &mut self,
        lane: usize,
        index: usize,
        batch: &mut [Submission],
        done: &mut Vec<Completion>,
    ) -> Gathered {
        if matches!(batch[index].op, Op::Work(_) | Op::Stage { .. }) {
            let op = std::mem::replace(&mut batch[index].op, Op::Resume);
            let outcome = aside(&*self.files, &self.lanes[lane].folder, op);
            done.push(Completion { lane: batch[index].lane, ticket: batch[index].ticket, outcome });
            self.lanes[lane].at += 1;
            return Ok(Flow::Next);
        }
        if self.lanes[lane].barred == self.rounds {
            return Ok(Flow::Stop);
        }
        let flow = match &batch[index].op {
            Op::Write { .. } => return self.gather_writes(lane, index, batch),
            Op::Replace { files, .. } => self.gather_replace(lane, index, files),
            Op::Remove { files, promise } => self.gather_remove(lane, index, files, *promise),
            Op::Adopt { staged, file } => self.gather_adopt(lane, index, staged, file),
            Op::SetLen { block, len } => self.gather_set_len(lane, index, *block, *len),
            Op::Delta { consumer, bytes, promise } => self.gather_delta(lane, consumer, bytes, *promise),
            Op::Delete => self.gather_delete(lane, index),
            Op::Checkpoint => {
                if !self.lanes[lane].is_first() {
                    return Ok(Flow::Stop);
                }
                if self.checkpoint_lane(lane, batch[index].ticket) {
                    self.lanes[lane].at += 1;
                    return Ok(Flow::Next);
                }
                Ok(Flow::Next)
            }
            Op::Resume | Op::Work(_) | Op::Stage { .. } => Ok(Flow::Next),
        }?;
        if matches!(flow, Flow::Next) {
            self.round.results.push((index, None));
            self.lanes[lane].at += 1;
        }
        Ok(flow)
    }

    /// The record that was just appended is the lane's, and somebody may wait for it.
    fn recorded(&mut self, lane: usize, sync: bool) {
        self.round.records += 1;
        self.round.sync |= sync;
        self.lanes[lane].in_frame = true;
    }

    fn number(lane: usize) -> u32 {
        u32::try_from(lane).unwrap_or(u32::MAX)
    }

    fn block(&mut self, lane: usize, block: u32) -> FileId {
        match self.lanes[lane].hot {
            Some((hot, id)) if hot == block => id,
            _ => {
                let id = self.file(lane, &Name::Block(block));
                self.lanes[lane].hot = Some((block, id));
                id
            }
        }
    }

    fn gather_writes(&mut self, lane: usize, index: usize, batch: &[Submission]) -> Gathered {
        let Op::Write { block, offset, bytes, promise } = &batch[index].op else { return Ok(Flow::Next) };
        let id = self.block(lane, *block);
        let state = self.table.get(id);
        if state.pending {
            return Ok(Flow::Stop);
        }
        let live = state.is_live(self.segments.oldest());
        if state.removed && live {
            return self.gather_barrier(lane, id);
        }
        if !live {
            // The segments that spoke of it are free: what they said of it counts no more.
            self.table.get_mut(id).settled();
        }
        let state = self.table.get(id);
        // What the frame speaks of anyway may as well be told whole: otherwise the next promised bytes would ask for another sync.
        let covered = live && (*offset < state.live_end || state.whole || state.framed == self.rounds);
        let journaled = *promise == Promise::Durable || covered;
        if journaled && !self.room(lane, bytes.len())? {
            return Ok(Flow::Stop);
        }
        let handle = self.handle(id)?;
        if journaled {
            self.sync_below(id)?;
            self.mention(lane);
        }
        let end = self.table.get(id).end;
        let overwrite = *offset < end;
        let (start, taken, len) = self.encode_run(lane, index, batch, end, journaled);
        let state = self.table.get_mut(id);
        state.end = state.end.max(offset + len as u64);
        state.unsynced = true;
        if journaled {
            let range = self.round.frame.len() - len..self.round.frame.len();
            state.live_end = state.live_end.max(offset + len as u64);
            state.framed = self.rounds;
            if overwrite {
                let act = Act::Overwrite { id, offset: *offset, range };
                self.round.posts.push(Post { lane, index, act });
            } else if let Err(error) = self.files.write_at(handle, *offset, &self.round.frame[range]) {
                self.round.frame.truncate(start);
                self.round.records -= 1;
                self.cut(id, end);
                return Err(error);
            } else {
                self.round.appended.push((id, end));
            }
            self.list_file(id);
        } else {
            state.cached = true;
            if let Err(error) = self.files.write_at(handle, *offset, &self.scratch) {
                self.cut(id, end);
                return Err(error);
            }
        }
        self.lanes[lane].at += taken;
        for at in self.lanes[lane].at - taken..self.lanes[lane].at {
            self.round.results.push((self.lanes[lane].queue[at], None));
        }
        Ok(Flow::Next)
    }

    /// The frame is refused: what was appended before it leaves the files again. Whoever reads them would take it for done, and a sync that fails next would
    /// leave it to be read until the power goes.
    pub(super) fn cut_appended(&mut self) {
        for (id, end) in std::mem::take(&mut self.round.appended).into_iter().rev() {
            self.cut(id, end);
        }
    }

    /// What was written behind this end is refused, perhaps in its midst: it leaves the file, which is looked at again.
    fn cut(&mut self, id: FileId, end: u64) {
        let cut = self.handle(id).and_then(|handle| self.files.set_len(handle, end));
        if let Err(error) = cut {
            self.events.push(Event::Uncut(error));
        }
        self.close_file(id);
        self.table.get_mut(id).end = 0;
    }

    /// Bytes that were written without the journal lie below bytes that are promised: they are synced before those.
    fn sync_below(&mut self, id: FileId) -> Result<(), DiskError> {
        if !self.table.get(id).cached {
            return Ok(());
        }
        let handle = self.handle(id)?;
        if let Err(error) = self.files.sync(handle) {
            let path = self.table.get(id).path.clone();
            self.repair(&path, error.clone());
            return Err(error);
        }
        self.name_file(id)?;
        let uncertain = self.is_uncertain(&self.table.get(id).path);
        self.table.get_mut(id).cached = uncertain;
        Ok(())
    }

    /// Appends the lane's writes that continue each other to the frame, as one record, or to the scratch buffer. Answers where the record starts, how
    /// many writes it holds, and how many bytes they have.
    fn encode_run(
        &mut self,
        lane: usize,
        index: usize,
        batch: &[Submission],
        end: u64,
        journaled: bool,
    ) -> (usize, usize, usize) {
        let Op::Write { block, offset, promise, .. } = &batch[index].op else { return (0, 0, 0) };
        let start = self.round.frame.len();
        let out = if journaled { &mut self.round.frame } else { &mut self.scratch };
        if journaled {
            record::write(out, Self::number(lane), *block, *offset);
        } else {
            out.clear();
        }
        let first = out.len();
        let mut taken = 0;
        for &next in &self.lanes[lane].queue[self.lanes[lane].at..] {
            let Op::Write { block: b, offset: o, bytes, promise: p } = &batch[next].op else { break };
            let len = out.len() - first;
            let follows = b == block && p == promise && *o == offset + len as u64;
            let body = out.len() + bytes.len();
            if taken > 0 && (!follows || body > limits::FRAME_LEN || (journaled && !self.segments.fits(body)))
            {
                break;
            }
            out.extend_from_slice(bytes);
            taken += 1;
        }
        let len = out.len() - first;
        if journaled {
            let ground = Ground::of(*offset, len as u64, end);
            record::finish_write(&mut self.round.frame, start, first, ground);
            self.recorded(lane, true);
        }
        if *offset < end {
            self.segments.mark_erased();
            self.hasten.get_or_insert(self.segments.current.at);
        }
        (start, taken, len)
    }

    /// A removed file is about to come back: first its removal is on stable storage, and the journal no longer speaks of it.
    fn gather_barrier(&mut self, lane: usize, id: FileId) -> Gathered {
        if !self.lanes[lane].is_first() || !self.room(lane, limits::NAME_LEN)? {
            return Ok(Flow::Stop);
        }
        self.settle(id)?;
        self.mention(lane);
        record::barrier(&mut self.round.frame, Self::number(lane), &self.table.get(id).name);
        self.recorded(lane, true);
        let index = self.lanes[lane].queue[self.lanes[lane].at];
        self.table.get_mut(id).pending = true;
        self.round.posts.push(Post { lane, index, act: Act::Settled { id } });
        Ok(Flow::Stop)
    }

    fn gather_replace(&mut self, lane: usize, index: usize, files: &[(Name, bytes::Bytes)]) -> Gathered {
        fits(files.len())?;
        let ids: Vec<FileId> = files.iter().map(|(name, _)| self.file(lane, name)).collect();
        if ids.iter().any(|id| self.table.get(*id).pending) {
            return Ok(Flow::Stop);
        }
        let total: usize = files.iter().map(|(_, bytes)| bytes.len() + 8).sum();
        let names = names_len(files.iter().map(|(name, _)| name));
        let inline = total <= self.settings.replace_inline;
        let first = self.lanes[lane].is_first();
        if (!inline && !first) || !self.room(lane, names + 32 + if inline { total } else { 0 })? {
            return Ok(Flow::Stop);
        }
        let act = if inline {
            self.mention(lane);
            let contents = files.iter().map(|(name, bytes)| (name, &**bytes));
            record::replace(&mut self.round.frame, Self::number(lane), contents);
            Act::Replace
        } else {
            let staged = self.stage(files)?;
            self.mention(lane);
            if let Some((_, bytes)) = files.iter().find(|(name, _)| is_index(name)) {
                let print = Some(Fingerprint::new(bytes.len() as u64, bytes));
                record::index(&mut self.round.frame, Self::number(lane), print);
                self.recorded(lane, true);
            }
            let pairs: Vec<_> =
                files.iter().map(|(name, _)| name.clone()).zip(staged.iter().copied()).collect();
            record::rename(&mut self.round.frame, Self::number(lane), &pairs);
            Act::Rename { staged }
        };
        self.recorded(lane, true);
        for id in &ids {
            let state = self.table.get_mut(*id);
            (state.pending, state.whole, state.removed) = (true, true, false);
            (state.unsynced, state.cached) = (true, false);
            self.list_file(*id);
            let path = self.table.get(*id).path.clone();
            self.list_folders(*id, &path);
        }
        if let Some((_, bytes)) = files.iter().find(|(name, _)| is_index(name)) {
            self.lanes[lane].index = Some(Some(Fingerprint::new(bytes.len() as u64, bytes)));
        }
        self.round.posts.push(Post { lane, index, act });
        Ok(Flow::Next)
    }

    /// Writes contents that are too long for a frame into files of their own.
    fn stage(&mut self, files: &[(Name, bytes::Bytes)]) -> Result<Vec<u64>, DiskError> {
        let mut staged = Vec::new();
        for (_, bytes) in files {
            let number = self.next_number;
            self.next_number += 1;
            staged.push(number);
            put_file(&*self.files, &format!("{STAGED}/{number}"), bytes, true)?;
        }
        self.sync_folder(STAGED)?;
        Ok(staged)
    }

    fn gather_remove(&mut self, lane: usize, index: usize, files: &[Name], promise: Promise) -> Gathered {
        fits(files.len())?;
        let folder_of = |name: &Name| match name {
            Name::Path(path) => path.strip_suffix('/').filter(|p| !p.is_empty()).map(Arc::<str>::from),
            Name::Block(_) => None,
        };
        let folders: Vec<Arc<str>> = files.iter().filter_map(folder_of).collect();
        let waits = |id: &FileId| self.table.get(*id).pending;
        let below = |name: &Name| folders.iter().any(|f| under(name, f));
        if self.lanes[lane].files.iter().filter(|(name, _)| below(name)).any(|(_, id)| waits(id)) {
            return Ok(Flow::Stop);
        }
        let (small, large) = self.small_folders(lane, folders)?;
        let plain: Vec<&Name> = files.iter().filter(|name| folder_of(name).is_none()).collect();
        let all: Vec<&Name> = plain.iter().copied().chain(small.iter().flat_map(|s| &s.files)).collect();
        let ids: Vec<FileId> = all.iter().map(|name| self.file(lane, name)).collect();
        if ids.iter().any(|id| self.table.get(*id).pending) {
            return Ok(Flow::Stop);
        }
        let oldest = self.segments.oldest();
        let live = ids.iter().any(|id| self.table.get(*id).is_live(oldest));
        let sensitive = all.iter().any(|name| is_index(name) || is_state(name));
        for (name, id) in all.iter().zip(&ids) {
            if matches!(name, Name::Block(_)) {
                self.last_sync(*id);
            }
        }
        // Without a record, what is created next under the name would meet, after a power cut, what was removed.
        if !self.room(lane, names_len(files.iter().chain(all.iter().copied())) + 32 + large.len() * 32)? {
            return Ok(Flow::Stop);
        }
        self.mention(lane);
        if !all.is_empty() {
            let lens: Vec<u64> = all.iter().zip(&ids).map(|(name, id)| self.len_of(name, *id)).collect();
            record::remove(&mut self.round.frame, Self::number(lane), all.iter().copied().zip(lens));
            self.recorded(lane, promise == Promise::Durable || live || sensitive);
        }
        for &id in &ids {
            self.removing(id);
        }
        if plain.iter().any(|name| is_index(name)) {
            self.lanes[lane].index = Some(None);
        }
        if !plain.is_empty() {
            self.round.posts.push(Post { lane, index, act: Act::Remove });
        }
        let mut rest = ids.into_iter().skip(plain.len());
        for Small { folder, files, absent } in small {
            let files = rest.by_ref().take(files.len()).collect();
            // What the journal says of a name that somebody else may use next is not to stay there for long.
            self.cleared = true;
            self.round.posts.push(Post { lane, index, act: Act::Clear { folder, files, absent } });
        }
        for folder in large {
            self.trash(lane, index, folder, (0, u64::MAX));
        }
        Ok(Flow::Next)
    }

    /// A block is about to be removed. Torn, or with a length that it no longer has, it would invite somebody else to go on in it, unnoticed, should the removal
    /// be lost. An error is none: it goes anyway.
    fn last_sync(&mut self, id: FileId) {
        let state = self.table.get(id);
        if !self.unclean || state.met {
            let _ = self.sync_below(id);
        } else if let Ok(handle) = self.files.open(&state.path, Mode::Write) {
            let _ = self.files.sync(handle);
            self.files.close(handle);
        }
    }

    /// The length of a block, so that a replay can tell whether somebody else went on with what was removed.
    fn len_of(&self, name: &Name, id: FileId) -> u64 {
        let state = self.table.get(id);
        match name {
            Name::Path(_) => u64::MAX,
            Name::Block(_) if state.handle.is_some() => state.end,
            Name::Block(_) => fingerprint(&*self.files, &state.path).map_or(u64::MAX, |found| found.len),
        }
    }

    fn trash(&mut self, lane: usize, index: usize, folder: Arc<str>, last: (u32, u64)) {
        let number = self.next_number;
        self.next_number += 1;
        record::trash(&mut self.round.frame, Self::number(lane), &folder, number, last);
        self.recorded(lane, true);
        let inside = self.lanes[lane].files.iter().filter(|(name, _)| under(name, &folder));
        let ids: Vec<FileId> = inside.map(|(_, id)| *id).collect();
        for id in ids {
            self.table.get_mut(id).pending = true;
        }
        // What is written there next is another file of the same name.
        self.lanes[lane].barred = self.rounds;
        self.segments.current.trash.push(number);
        self.hasten.get_or_insert(self.segments.current.at);
        self.round.posts.push(Post { lane, index, act: Act::Trash { folder, number } });
    }

    fn gather_adopt(&mut self, lane: usize, index: usize, staged: &Name, file: &Name) -> Gathered {
        if !self.lanes[lane].is_first() || !self.room(lane, 2 * limits::NAME_LEN)? {
            return Ok(Flow::Stop);
        }
        if is_state(file) {
            let (call, path) = ("adopt", format!("{}/{file}", self.lanes[lane].folder));
            let text = "the state of a consumer is replaced, together with its deltas".into();
            return Err(DiskError { fault: Fault::Denied, call, path, text });
        }
        let id = self.file(lane, file);
        let live = self.table.get(id).is_live(self.segments.oldest());
        self.settle(id)?;
        if is_index(file) {
            let print = fingerprint(&*self.files, &format!("{}/{staged}", self.lanes[lane].folder));
            self.mention(lane);
            record::index(&mut self.round.frame, Self::number(lane), print);
            self.recorded(lane, true);
            self.lanes[lane].index = Some(print);
        }
        self.barrier_if(lane, id, live);
        let path = self.table.get(id).path.clone();
        let source = format!("{}/{staged}", self.lanes[lane].folder);
        let top = self.lanes[lane].folder.clone();
        for mut folder in [parent(&path), parent(&source)] {
            while folder.len() >= top.len() {
                self.round.folders.push((folder.into(), index));
                folder = parent(folder);
            }
        }
        self.table.get_mut(id).pending = true;
        self.round.posts.push(Post { lane, index, act: Act::Adopt { id, source } });
        Ok(Flow::Next)
    }

    fn barrier_if(&mut self, lane: usize, id: FileId, wanted: bool) {
        if wanted && self.settings.flaw != Some(super::Flaw::NoBarrier) {
            self.mention(lane);
            record::barrier(&mut self.round.frame, Self::number(lane), &self.table.get(id).name);
            self.recorded(lane, true);
        }
    }

    fn gather_set_len(&mut self, lane: usize, index: usize, block: u32, len: u64) -> Gathered {
        if !self.lanes[lane].is_first() || !self.room(lane, 64)? {
            return Ok(Flow::Stop);
        }
        let id = self.file(lane, &Name::Block(block));
        let live = self.table.get(id).is_live(self.segments.oldest());
        self.settle(id)?;
        self.barrier_if(lane, id, live);
        self.table.get_mut(id).pending = true;
        self.round.posts.push(Post { lane, index, act: Act::SetLen { id, len } });
        Ok(Flow::Next)
    }

    fn gather_delta(&mut self, lane: usize, consumer: &Arc<str>, bytes: &[u8], promise: Promise) -> Gathered {
        if !self.room(lane, consumer.len() + bytes.len() + 32)? {
            return Ok(Flow::Stop);
        }
        let acts = self.round.posts.iter().any(|post| post.lane == lane && !post.act.is_overwrite());
        if acts && self.is_state_pending(lane, consumer) {
            // What comes after the new state counts from there.
            return Ok(Flow::Stop);
        }
        self.mention(lane);
        let sequence = self.segments.sequence();
        let number = self.next_delta;
        self.next_delta += 1;
        if !self.lanes[lane].consumers.contains_key(consumer) {
            let state = ConsumerState { first: number, segment: sequence };
            self.lanes[lane].consumers.insert(consumer.clone(), state);
        }
        record::delta(&mut self.round.frame, Self::number(lane), consumer, number, bytes);
        self.recorded(lane, promise == Promise::Durable);
        Ok(Flow::Next)
    }

    /// Whether the round replaces or removes the state of this consumer.
    fn is_state_pending(&self, lane: usize, consumer: &str) -> bool {
        let state = Name::Path(format!("{}/{consumer}/{}", names::CONSUMERS, names::CONSUMER_STATE).into());
        self.lanes[lane].files.get(&state).is_some_and(|id| self.table.get(*id).pending)
    }

    fn gather_delete(&mut self, lane: usize, index: usize) -> Gathered {
        if !self.lanes[lane].is_first() || !self.room(lane, 64)? {
            return Ok(Flow::Stop);
        }
        // No block that was removed comes back to be taken for somebody else's.
        let blocks = format!("{}/msgs", self.lanes[lane].folder);
        self.sync_folder(&blocks)?;
        let last = last_block(&*self.files, &self.lanes[lane].folder)?;
        if let Some((block, _)) = last {
            let id = self.file(lane, &Name::Block(block));
            self.last_sync(id);
        }
        self.mention(lane);
        self.trash(lane, index, "".into(), last.unwrap_or((0, 0)));
        Ok(Flow::Next)
    }
}

/// Whether a file of a lane lies in this folder; the empty one is the lane itself.
pub(super) fn under(name: &Name, folder: &str) -> bool {
    match name {
        _ if folder.is_empty() => true,
        Name::Block(_) => folder == "msgs",
        Name::Path(path) => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
    }
}

/// Whether the file is the state of a consumer.
pub(super) fn is_state(name: &Name) -> bool {
    matches!(name, Name::Path(path) if super::consumer_of(path).is_some())
}
