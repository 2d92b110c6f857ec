//! Files in memory, with what a power cut would leave of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use midge_store::port::{DiskError, Entry, Fault, Files, Handle, Mode};

use super::crash::{Inode, NameOp, Node, NodeId, Odds, Tree};
use crate::draw::Draw;

/// What goes wrong, by seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Syncs of a hundred that fail, after which what was written counts as clean and is lost.
    pub sync_errors: usize,
    /// Syncs of a hundred that fail without harm to the journal: only those of other files.
    pub only_files: bool,
    /// Bytes that all files may have together.
    pub capacity: Option<u64>,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    handles: BTreeMap<u32, (NodeId, String)>,
    next_handle: u32,
    draw: Draw,
    faults: Faults,
    /// Calls until the power goes.
    left: Option<u64>,
    dead: bool,
    calls: u64,
    faults_seen: u64,
    /// Calls that change something, if somebody wants them.
    log: Option<Vec<String>>,
}

/// A file system that forgets like a real one. One per run; a crash keeps it and ends all handles.
#[derive(Debug)]
pub struct SimFiles {
    state: Mutex<State>,
}

fn error(fault: Fault, call: &'static str, path: &str, text: &str) -> DiskError {
    DiskError { fault, call, path: path.into(), text: text.into() }
}

fn absent(call: &'static str, path: &str) -> DiskError {
    error(Fault::Absent, call, path, "no such file or folder")
}

impl SimFiles {
    /// An empty file system.
    pub fn new(draw: Draw) -> SimFiles {
        let state = State {
            tree: Tree::default(),
            handles: BTreeMap::new(),
            next_handle: 1,
            draw,
            faults: Faults::default(),
            left: None,
            dead: false,
            calls: 0,
            faults_seen: 0,
            log: None,
        };
        SimFiles { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// The power goes in the midst of the n-th call from now; 0 is the next. `None`: it stays.
    pub fn crash_after(&self, calls: Option<u64>) {
        self.lock().left = calls;
    }

    /// Whether the power is gone.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Bytes that all files have together.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Bytes that may still be written, if there is an end to them.
    pub fn room(&self) -> Option<u64> {
        let state = self.lock();
        state.faults.capacity.map(|most| most.saturating_sub(state.used()))
    }

    /// Calls from now on are logged.
    pub fn trace(&self) {
        self.lock().log = Some(Vec::new());
    }

    /// The calls since the last time, one a line.
    pub fn take_log(&self) -> Vec<String> {
        self.lock().log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Calls so far, and faults that were injected.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        (state.calls, state.faults_seen)
    }

    /// The process ended, or was killed: its handles are gone, the rest is as it was.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.handles.clear();
        (state.dead, state.left) = (false, None);
    }

    /// The power was cut: what was not on stable storage is there in part, torn, in any order, or not at all.
    pub fn power_cut(&self, odds: Odds) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.handles.clear();
        (state.dead, state.left) = (false, None);
        state.tree.crash(&mut state.draw, odds);
    }

    /// The content of a file, as a program would read it now, power or not.
    pub fn peek(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let id = state.tree.find(path)?;
        state.tree.file(id).map(|inode| inode.now.clone())
    }
}

impl State {
    /// Counts a call. False: the power goes now, in its midst.
    fn call(&mut self, call: &'static str, path: &str) -> Result<bool, DiskError> {
        if self.dead {
            return Err(error(Fault::Device, call, path, "the power is off"));
        }
        self.calls += 1;
        if let Some(log) = self.log.as_mut().filter(|_| !matches!(call, "read" | "len" | "list" | "open")) {
            log.push(format!("        {call} {path}"));
        }
        match &mut self.left {
            Some(0) => {
                self.dead = true;
                Ok(false)
            }
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => Ok(true),
        }
    }

    /// More about the call that was logged last.
    fn detail(&mut self, text: impl FnOnce() -> String) {
        if let Some(line) = self.log.as_mut().and_then(|log| log.last_mut()) {
            line.push_str(&text());
        }
    }

    /// For calls that are done or not.
    fn whole(&mut self, call: &'static str, path: &str) -> Result<(), DiskError> {
        if self.call(call, path)? || self.draw.percent(50) {
            return Ok(());
        }
        Err(error(Fault::Device, call, path, "the power went off"))
    }

    fn path_of(&self, file: Handle) -> Result<(NodeId, String), DiskError> {
        self.handles.get(&file.0).cloned().ok_or_else(|| error(Fault::Device, "use", "", "a closed handle"))
    }

    fn inode(&mut self, id: NodeId, path: &str) -> Result<&mut Inode, DiskError> {
        self.tree.file_mut(id).ok_or_else(|| absent("use", path))
    }

    fn used(&self) -> u64 {
        self.tree.bytes()
    }

    fn place(&self, call: &'static str, path: &str) -> Result<(NodeId, String), DiskError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let id = self.tree.find(folder).filter(|id| self.tree.folder(*id).is_some());
        Ok((id.ok_or_else(|| absent(call, path))?, name.into()))
    }
}

fn check(path: &str) -> Result<(), DiskError> {
    let bad = |part: &str| part == ".." || part == ".";
    if path.starts_with('/') || path.split('/').any(bad) {
        return Err(error(Fault::Denied, "path", path, "outside the store directory"));
    }
    Ok(())
}

impl Files for SimFiles {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        check(path)?;
        let mut state = self.lock();
        state.whole("open", path)?;
        let id = match state.tree.find(path) {
            Some(id) if state.tree.file(id).is_some() => id,
            Some(_) => return Err(error(Fault::Denied, "open", path, "is a folder")),
            None if mode.creates() => {
                let (folder, name) = state.place("open", path)?;
                let node = state.tree.add(Node::File(Inode::default()));
                state.tree.name(NameOp::Create { folder, name, node });
                node
            }
            None => return Err(absent("open", path)),
        };
        let handle = state.next_handle;
        state.next_handle += 1;
        state.handles.insert(handle, (id, path.into()));
        Ok(Handle(handle))
    }

    fn close(&self, file: Handle) {
        self.lock().handles.remove(&file.0);
    }

    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let mut state = self.lock();
        let (id, path) = state.path_of(file)?;
        state.whole("read", &path)?;
        let inode = state.inode(id, &path)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(inode.now.len());
        let len = into.len().min(inode.now.len() - start);
        into[..len].copy_from_slice(&inode.now[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.lock();
        let (id, path) = state.path_of(file)?;
        let alive = state.call("write", &path)?;
        state.detail(|| format!(": {} bytes at {offset}", bytes.len()));
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let len = state.inode(id, &path)?.now.len();
        let grows = (start + bytes.len()).saturating_sub(len) as u64;
        let full = state.faults.capacity.is_some_and(|most| grows > 0 && state.used() + grows > most);
        let cut = if alive && !full { bytes.len() } else { state.draw.below(bytes.len() + 1) };
        state.inode(id, &path)?.write(start, &bytes[..cut]);
        if full {
            state.faults_seen += 1;
            state.detail(|| " has no space".into());
            return Err(error(Fault::Full, "write", &path, "no space left"));
        }
        if alive { Ok(()) } else { Err(error(Fault::Device, "write", &path, "the power went off")) }
    }

    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        let mut state = self.lock();
        let (id, path) = state.path_of(file)?;
        state.whole("len", &path)?;
        Ok(state.inode(id, &path)?.now.len() as u64)
    }

    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        let mut state = self.lock();
        let (id, path) = state.path_of(file)?;
        state.whole("set_len", &path)?;
        state.detail(|| format!(" to {len}"));
        state.inode(id, &path)?.set_len(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn allocate(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        let mut state = self.lock();
        let (id, path) = state.path_of(file)?;
        state.whole("allocate", &path)?;
        let grows = len.saturating_sub(state.inode(id, &path)?.now.len() as u64);
        if state.faults.capacity.is_some_and(|most| state.used() + grows > most) {
            state.faults_seen += 1;
            return Err(error(Fault::Full, "allocate", &path, "no space left"));
        }
        let inode = state.inode(id, &path)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX).max(inode.now.len());
        inode.set_len(len);
        Ok(())
    }

    fn sync(&self, file: Handle) -> Result<(), DiskError> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (id, path) = state.path_of(file)?;
        let alive = state.call("sync", &path)?;
        let spared = state.faults.only_files && path.starts_with(".midge/");
        let percent = state.faults.sync_errors;
        if alive && percent > 0 && !spared && state.draw.percent(percent) {
            state.faults_seen += 1;
            state.detail(|| " fails".into());
            let draw = &mut state.draw;
            if let Some(inode) = state.tree.file_mut(id) {
                inode.lose(draw);
            }
            return Err(error(Fault::Device, "sync", &path, "input/output error"));
        }
        if !alive {
            // In its midst: what is there is decided by the crash.
            return Err(error(Fault::Device, "sync", &path, "the power went off"));
        }
        state.inode(id, &path)?.sync();
        Ok(())
    }

    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        check(path)?;
        let mut state = self.lock();
        if !state.call("sync", path)? {
            return Err(error(Fault::Device, "sync", path, "the power went off"));
        }
        let id = state.tree.find(path).ok_or_else(|| absent("sync", path))?;
        if state.tree.folder(id).is_none() {
            return Err(error(Fault::Denied, "sync", path, "is no folder"));
        }
        state.tree.sync_folder(id);
        Ok(())
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError> {
        check(path)?;
        let mut state = self.lock();
        state.whole("list", path)?;
        let id = state.tree.find(path).ok_or_else(|| absent("list", path))?;
        let folder =
            state.tree.folder(id).ok_or_else(|| error(Fault::Denied, "list", path, "is no folder"))?;
        let entry = |(name, id): (&String, &NodeId)| {
            let file = state.tree.file(*id);
            Entry { name: name.clone(), folder: file.is_none(), len: file.map_or(0, |f| f.now.len() as u64) }
        };
        Ok(folder.now.iter().map(entry).collect())
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        check(path)?;
        let mut state = self.lock();
        state.whole("create_folder", path)?;
        let mut folder = Tree::ROOT;
        for name in path.split('/').filter(|part| !part.is_empty()) {
            let known = state.tree.folder(folder).and_then(|f| f.now.get(name).copied());
            folder = match known {
                Some(id) if state.tree.folder(id).is_some() => id,
                Some(_) => return Err(error(Fault::Denied, "create_folder", path, "is a file")),
                None => {
                    let node = state.tree.add(Node::new_folder());
                    state.tree.name(NameOp::Create { folder, name: name.into(), node });
                    node
                }
            };
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        check(from)?;
        check(to)?;
        let mut state = self.lock();
        state.whole("rename", from)?;
        state.detail(|| format!(" to {to}"));
        let node = state.tree.find(from).ok_or_else(|| absent("rename", from))?;
        let (from_folder, from_name) = state.place("rename", from)?;
        let (to_folder, to_name) = state.place("rename", to)?;
        if let Some(there) = state.tree.find(to) {
            let both =
                (state.tree.folder(node).is_some(), state.tree.folder(there).map(|f| f.now.is_empty()));
            if !matches!(both, (false, None) | (true, Some(true))) {
                return Err(error(Fault::Denied, "rename", to, "something else stands there"));
            }
        }
        state.tree.name(NameOp::Rename { from_folder, from_name, to_folder, to_name, node });
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        check(path)?;
        let mut state = self.lock();
        state.whole("remove", path)?;
        let node = state.tree.find(path).ok_or_else(|| absent("remove", path))?;
        if state.tree.folder(node).is_some() {
            return Err(error(Fault::Denied, "remove", path, "is a folder"));
        }
        let (folder, name) = state.place("remove", path)?;
        state.tree.name(NameOp::Remove { folder, name, node });
        Ok(())
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        check(path)?;
        let mut state = self.lock();
        let alive = state.call("remove_folder", path)?;
        let Some(node) = state.tree.find(path) else { return Ok(()) };
        let (folder, name) = state.place("remove_folder", path)?;
        // From below, one name after the other; the power may go between two.
        let mut ops = state.tree.below(node);
        ops.push(NameOp::Remove { folder, name, node });
        let most = if alive { ops.len() } else { state.draw.below(ops.len() + 1) };
        ops.into_iter().take(most).for_each(|op| state.tree.name(op));
        if alive { Ok(()) } else { Err(error(Fault::Device, "remove_folder", path, "the power went off")) }
    }

    fn free(&self) -> Result<u64, DiskError> {
        let mut state = self.lock();
        state.whole("free", "")?;
        Ok(state.faults.capacity.map_or(1 << 40, |most| most.saturating_sub(state.used())))
    }
}
