//! What is on stable storage, what is not, and what a power cut makes of it.
//!
//! A file has what programs see and what is on stable storage, and in between the writes since the last sync. A power cut keeps any of them, by sectors,
//! and any length in between; of the names that changed since a folder was synced it keeps any, too. A rename happens or does not.

use std::collections::BTreeMap;

use crate::draw::Draw;

const SECTOR: usize = 512;

/// A file or folder.
pub(super) type NodeId = usize;

/// How much of what was not synced survives, of a hundred.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    /// Sectors.
    pub sectors: usize,
    /// Lengths.
    pub lengths: usize,
    /// Names.
    pub names: usize,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) now: Vec<u8>,
    disk: Vec<u8>,
    changes: Vec<Change>,
}

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if image.len() < at + bytes.len() {
        image.resize(at + bytes.len(), 0);
    }
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Inode {
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        put(&mut self.now, at, bytes);
        self.changes.push(Change::Write(at, bytes.to_vec()));
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.now.resize(len, 0);
        self.changes.push(Change::Len(len));
    }

    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            match change {
                Change::Write(at, bytes) => put(&mut self.disk, at, &bytes),
                Change::Len(len) => self.disk.resize(len, 0),
            }
        }
    }

    /// A failed sync: pages count as clean, whether they reached the device or not. Lengths are metadata, and did.
    pub(super) fn lose(&mut self, draw: &mut Draw) {
        let odds = Odds { sectors: draw.pick(&[0, 0, 50]), lengths: 100, names: 0 };
        self.settle(draw, odds);
        if self.disk.len() < self.now.len() {
            self.disk.resize(self.now.len(), 0);
        }
    }

    fn settle(&mut self, draw: &mut Draw, odds: Odds) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Len(len) => {
                    if draw.percent(odds.lengths) {
                        self.disk.resize(len, 0);
                    }
                }
                Change::Write(at, bytes) => {
                    let grows = draw.percent(odds.lengths);
                    let mut start = 0;
                    while start < bytes.len() {
                        let end = bytes.len().min((at + start) / SECTOR * SECTOR + SECTOR - at);
                        let inside = at + end <= self.disk.len();
                        if draw.percent(odds.sectors) && (inside || grows) {
                            put(&mut self.disk, at + start, &bytes[start..end]);
                        }
                        start = end;
                    }
                    if grows && self.disk.len() < at + bytes.len() && draw.percent(30) {
                        self.disk.resize(at + bytes.len(), 0);
                    }
                }
            }
        }
    }

    fn crash(&mut self, draw: &mut Draw, odds: Odds) {
        self.settle(draw, odds);
        self.now = self.disk.clone();
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    pub(super) now: BTreeMap<String, NodeId>,
    disk: BTreeMap<String, NodeId>,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Inode),
    Folder(Folder),
}

impl Node {
    pub(super) fn new_folder() -> Node {
        Node::Folder(Folder::default())
    }
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Create { folder: NodeId, name: String, node: NodeId },
    Remove { folder: NodeId, name: String, node: NodeId },
    Rename { from_folder: NodeId, from_name: String, to_folder: NodeId, to_name: String, node: NodeId },
}

impl NameOp {
    fn touches(&self, id: NodeId) -> bool {
        match self {
            NameOp::Create { folder, .. } | NameOp::Remove { folder, .. } => *folder == id,
            NameOp::Rename { from_folder, to_folder, .. } => *from_folder == id || *to_folder == id,
        }
    }
}

/// All files and folders, with the changes of names that are not on stable storage.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    pending: Vec<NameOp>,
}

impl Default for Tree {
    fn default() -> Self {
        Tree { nodes: vec![Node::new_folder()], pending: Vec::new() }
    }
}

impl Tree {
    pub(super) const ROOT: NodeId = 0;

    pub(super) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(super) fn file(&self, id: NodeId) -> Option<&Inode> {
        if let Node::File(inode) = &self.nodes[id] { Some(inode) } else { None }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> Option<&mut Inode> {
        if let Node::File(inode) = &mut self.nodes[id] { Some(inode) } else { None }
    }

    pub(super) fn folder(&self, id: NodeId) -> Option<&Folder> {
        if let Node::Folder(folder) = &self.nodes[id] { Some(folder) } else { None }
    }

    pub(super) fn find(&self, path: &str) -> Option<NodeId> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.try_fold(Tree::ROOT, |id, name| self.folder(id)?.now.get(name).copied())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.walk(Tree::ROOT)
    }

    fn walk(&self, id: NodeId) -> u64 {
        match &self.nodes[id] {
            Node::File(inode) => inode.now.len() as u64,
            Node::Folder(folder) => folder.now.values().map(|id| self.walk(*id)).sum(),
        }
    }

    fn maps(&mut self, id: NodeId, disk: bool) -> Option<&mut BTreeMap<String, NodeId>> {
        match &mut self.nodes[id] {
            Node::Folder(folder) => Some(if disk { &mut folder.disk } else { &mut folder.now }),
            Node::File(_) => None,
        }
    }

    fn take(&mut self, folder: NodeId, name: &str, node: NodeId, disk: bool) {
        if let Some(map) = self.maps(folder, disk)
            && map.get(name) == Some(&node)
        {
            map.remove(name);
        }
    }

    fn apply(&mut self, op: &NameOp, disk: bool) {
        match op {
            NameOp::Create { folder, name, node } => {
                if let Some(map) = self.maps(*folder, disk) {
                    map.insert(name.clone(), *node);
                }
            }
            NameOp::Remove { folder, name, node } => self.take(*folder, name, *node, disk),
            NameOp::Rename { from_folder, from_name, to_folder, to_name, node } => {
                self.take(*from_folder, from_name, *node, disk);
                if let Some(map) = self.maps(*to_folder, disk) {
                    map.insert(to_name.clone(), *node);
                }
            }
        }
    }

    /// Changes a name, as programs see it from now on.
    pub(super) fn name(&mut self, op: NameOp) {
        self.apply(&op, false);
        self.pending.push(op);
    }

    /// The removals of everything below a folder, deepest first.
    pub(super) fn below(&self, id: NodeId) -> Vec<NameOp> {
        let Some(folder) = self.folder(id) else { return Vec::new() };
        let mut ops = Vec::new();
        for (name, node) in &folder.now {
            ops.extend(self.below(*node));
            ops.push(NameOp::Remove { folder: id, name: name.clone(), node: *node });
        }
        ops
    }

    /// An older creation or renaming of the node is void with what is on stable storage now.
    fn store(&mut self, op: &NameOp, before: &mut Vec<NameOp>) {
        let (NameOp::Rename { node, .. } | NameOp::Remove { node, .. } | NameOp::Create { node, .. }) = op;
        for older in before.extract_if(.., |o| match o {
            NameOp::Create { node: n, .. } | NameOp::Rename { node: n, .. } => n == node,
            NameOp::Remove { .. } => false,
        }) {
            // Where it was renamed from, it is no more.
            if let NameOp::Rename { from_folder, from_name, node, .. } = older {
                self.take(from_folder, &from_name, node, true);
            }
        }
        self.apply(op, true);
    }

    pub(super) fn sync_folder(&mut self, id: NodeId) {
        let mut kept = Vec::new();
        for op in std::mem::take(&mut self.pending) {
            if op.touches(id) { self.store(&op, &mut kept) } else { kept.push(op) }
        }
        self.pending = kept;
    }

    pub(super) fn crash(&mut self, draw: &mut Draw, odds: Odds) {
        let mut lost = Vec::new();
        for op in std::mem::take(&mut self.pending) {
            if draw.percent(odds.names) { self.store(&op, &mut lost) } else { lost.push(op) }
        }
        for node in &mut self.nodes {
            match node {
                Node::File(inode) => inode.crash(draw, odds),
                Node::Folder(folder) => folder.now = folder.disk.clone(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use midge_store::port::{Files, Mode};

    use super::super::files::SimFiles;
    use super::*;

    const NOTHING: Odds = Odds { sectors: 0, lengths: 0, names: 0 };
    const ALL: Odds = Odds { sectors: 100, lengths: 100, names: 100 };

    fn written(sync: bool, sync_folder: bool, odds: Odds) -> Option<Vec<u8>> {
        let files = SimFiles::new(Draw::new(1));
        files.create_folder("a").unwrap();
        files.sync_folder("").unwrap();
        let handle = files.open("a/f", Mode::Create).unwrap();
        files.write_at(handle, 0, &[7; 2000]).unwrap();
        if sync {
            files.sync(handle).unwrap();
        }
        if sync_folder {
            files.sync_folder("a").unwrap();
        }
        files.power_cut(odds);
        files.peek("a/f")
    }

    #[test]
    fn what_is_synced_stays_and_the_rest_may_go() {
        assert_eq!(written(true, true, NOTHING), Some(vec![7; 2000]));
        assert_eq!(written(true, false, NOTHING), None);
        assert_eq!(written(false, true, NOTHING), Some(vec![]));
        assert_eq!(written(false, false, ALL), Some(vec![7; 2000]));
    }

    #[test]
    fn a_rename_is_whole_and_a_failed_sync_loses_for_good() {
        let files = SimFiles::new(Draw::new(1));
        let handle = files.open("x", Mode::Create).unwrap();
        files.write_at(handle, 0, b"new").unwrap();
        files.set_faults(super::super::Faults { sync_errors: 100, ..Default::default() });
        assert!(files.sync(handle).is_err());
        files.set_faults(super::super::Faults::default());
        files.sync(handle).unwrap();
        files.rename("x", "y").unwrap();
        files.sync_folder("").unwrap();
        assert_eq!(files.peek("y"), Some(b"new".to_vec()));
        files.power_cut(ALL);
        assert_eq!((files.peek("x"), files.peek("y").map(|c| c.len())), (None, Some(3)));
    }
}
