//! Files in memory, and a store over a journal over them.

use std::collections::BTreeMap;
use std::sync::Arc;
#[allow(clippy::disallowed_types, reason = "a test shares what a disk shares")]
use std::sync::Mutex;

use midge_stdx::clock::{Mono, Now};
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::format::keys::{Cipher, MasterKey};
use midge_store::journal::{self, Committer, PlainRecords, Report, Settings};
use midge_store::port::{Completion, DiskError, Entry, Fault, Files, Handle, Mode, Op, Submission};
use midge_store::recover::History;
use midge_store::stream::{Config, Encryption, Opening, Recovery, Step, Store, StoreKeys};

#[derive(Default)]
struct Tree {
    files: BTreeMap<String, Vec<u8>>,
    folders: std::collections::BTreeSet<String>,
    handles: BTreeMap<u32, String>,
    next: u32,
    counts: Counts,
    sync_fails: bool,
    write_fails: bool,
}

/// What was done to files.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub syncs: u64,
    pub folder_syncs: u64,
    /// Files and folders that got another name, or none.
    pub changes: u64,
    /// Bytes.
    pub written: u64,
    /// The most that was allocated for a file.
    pub longest: u64,
}

/// Files that forget nothing.
#[derive(Default)]
#[allow(clippy::disallowed_types)]
pub struct MemFiles(Mutex<Tree>);

fn error(fault: Fault, call: &'static str, path: &str) -> DiskError {
    DiskError { fault, call, path: path.into(), text: format!("{fault:?}") }
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl MemFiles {
    fn with<T>(&self, act: impl FnOnce(&mut Tree) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    pub fn counts(&self) -> Counts {
        self.with(|tree| tree.counts)
    }

    /// The next sync fails.
    pub fn fail_sync(&self) {
        self.with(|tree| tree.sync_fails = true);
    }

    /// The next write finds the disk full, in its midst.
    pub fn fail_write(&self) {
        self.with(|tree| tree.write_fails = true);
    }

    /// Whether the sync that is to fail has yet to come.
    pub fn is_failing(&self) -> bool {
        self.with(|tree| tree.sync_fails)
    }
}

impl Files for MemFiles {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        self.with(|tree| {
            if !tree.files.contains_key(path) {
                if !mode.creates() || !(tree.folders.contains(above(path)) || above(path).is_empty()) {
                    return Err(error(Fault::Absent, "open", path));
                }
                tree.files.insert(path.into(), Vec::new());
            }
            tree.next += 1;
            tree.handles.insert(tree.next, path.into());
            Ok(Handle(tree.next))
        })
    }

    fn close(&self, file: Handle) {
        self.with(|tree| tree.handles.remove(&file.0));
    }

    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.with(|tree| {
            let bytes = &tree.files[&tree.handles[&file.0]];
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let len = rest.len().min(into.len());
            into[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.with(|tree| {
            tree.counts.written += bytes.len() as u64;
            let path = tree.handles[&file.0].clone();
            // A file that was replaced or removed is written to without effect on its name.
            let Some(content) = tree.files.get_mut(&path) else { return Ok(()) };
            let failed = std::mem::take(&mut tree.write_fails);
            let bytes = if failed { &bytes[..bytes.len() / 2] } else { bytes };
            let end = offset as usize + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[offset as usize..end].copy_from_slice(bytes);
            if failed { Err(error(Fault::Full, "write", &path)) } else { Ok(()) }
        })
    }

    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        self.with(|tree| Ok(tree.files.get(&tree.handles[&file.0]).map_or(0, |bytes| bytes.len() as u64)))
    }

    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.with(|tree| {
            let path = tree.handles[&file.0].clone();
            if let Some(content) = tree.files.get_mut(&path) {
                content.resize(len as usize, 0);
            }
            Ok(())
        })
    }

    fn allocate(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.with(|tree| tree.counts.longest = tree.counts.longest.max(len));
        if self.len(file)? < len { self.set_len(file, len) } else { Ok(()) }
    }

    fn sync(&self, file: Handle) -> Result<(), DiskError> {
        self.with(|tree| {
            tree.counts.syncs += 1;
            let failed = std::mem::take(&mut tree.sync_fails);
            if failed { Err(error(Fault::Device, "sync", &tree.handles[&file.0])) } else { Ok(()) }
        })
    }

    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        let there = self.with(|tree| {
            tree.counts.folder_syncs += 1;
            path.is_empty() || tree.folders.contains(path)
        });
        if there { Ok(()) } else { Err(error(Fault::Absent, "sync_folder", path)) }
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError> {
        self.with(|tree| {
            if !path.is_empty() && !tree.folders.contains(path) {
                return Err(error(Fault::Absent, "list", path));
            }
            let inside = |name: &str| {
                name.rsplit_once('/').map_or(("", name.to_owned()), |(f, n)| (f, n.to_owned())).1
            };
            let files = tree.files.iter().filter(|(name, _)| above(name) == path);
            let files = files.map(|(name, bytes)| Entry {
                name: inside(name),
                folder: false,
                len: bytes.len() as u64,
            });
            let folders = tree.folders.iter().filter(|name| above(name) == path && !name.is_empty());
            let folders = folders.map(|name| Entry { name: inside(name), folder: true, len: 0 });
            let mut all: Vec<Entry> = files.chain(folders).collect();
            all.sort();
            Ok(all)
        })
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        self.with(|tree| {
            let mut path = path;
            while !path.is_empty() {
                tree.folders.insert(path.into());
                path = above(path);
            }
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.with(|tree| {
            tree.counts.changes += 1;
            if let Some(bytes) = tree.files.remove(from) {
                if !tree.folders.contains(above(to)) {
                    tree.files.insert(from.into(), bytes);
                    return Err(error(Fault::Absent, "rename", to));
                }
                tree.files.insert(to.into(), bytes);
                return Ok(());
            }
            if !tree.folders.contains(from) {
                return Err(error(Fault::Absent, "rename", from));
            }
            let moved = |name: &String| {
                (name == from || name.starts_with(&format!("{from}/")))
                    .then(|| format!("{to}{}", &name[from.len()..]))
            };
            tree.folders =
                tree.folders.iter().map(|name| moved(name).unwrap_or_else(|| name.clone())).collect();
            let files = std::mem::take(&mut tree.files);
            tree.files =
                files.into_iter().map(|(name, bytes)| (moved(&name).unwrap_or(name), bytes)).collect();
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let gone = self.with(|tree| {
            tree.counts.changes += 1;
            tree.files.remove(path)
        });
        gone.map(|_| ()).ok_or_else(|| error(Fault::Absent, "remove", path))
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        self.with(|tree| {
            tree.counts.changes += 1;
            let inside = |name: &String| name == path || name.starts_with(&format!("{path}/"));
            tree.files.retain(|name, _| !inside(name));
            tree.folders.retain(|name| !inside(name));
            Ok(())
        })
    }

    fn free(&self) -> Result<u64, DiskError> {
        Ok(1 << 40)
    }
}

/// A store over a journal over files, each step at the will of the test.
pub struct Rig {
    pub files: Arc<MemFiles>,
    pub committer: Option<Committer>,
    pub store: Store,
    pub folder: String,
    queue: Vec<Submission>,
    aside: Vec<Submission>,
    /// What ran aside and what it was.
    pub works: u64,
    draw: Seeded,
    encrypted: bool,
}

fn keys() -> StoreKeys {
    StoreKeys {
        owner: "$G".into(),
        master: MasterKey::new(b"s3cr3t"),
        previous: None,
        cipher: Cipher::Aes,
        entropy: Box::new(Seeded::new(5)),
    }
}

impl Rig {
    /// A store in memory, for which every step below does nothing.
    pub fn memory(config: Config) -> Rig {
        let store = Store::in_memory(config, Box::new(Seeded::new(9)));
        Rig {
            files: Arc::default(),
            committer: None,
            store,
            folder: String::new(),
            queue: Vec::new(),
            aside: Vec::new(),
            works: 0,
            draw: Seeded::new(1),
            encrypted: false,
        }
    }

    /// A new store in files.
    pub fn files(config: Config, seed: u64) -> Rig {
        Rig::create(config, seed, None)
    }

    /// A new store in encrypted files. Its index is not sealed.
    pub fn encrypted(config: Config, seed: u64) -> Rig {
        Rig::create(config, seed, Some(keys()))
    }

    fn create(config: Config, seed: u64, keys: Option<StoreKeys>) -> Rig {
        let files: Arc<MemFiles> = Arc::default();
        let (mut committer, _) = Committer::open(files.clone(), Settings::default(), &PlainRecords).unwrap();
        let folder = format!("$G/streams/{}", config.name);
        let lane = committer.register(&folder).unwrap();
        let encrypted = keys.is_some();
        let encryption = keys.map(|StoreKeys { owner, master, cipher, entropy, .. }| Encryption {
            cipher,
            owner: owner.into(),
            master,
            entropy,
        });
        let store = Store::create(config, lane, encryption, None, Box::new(Seeded::new(9)));
        Rig {
            files,
            committer: Some(committer),
            store,
            folder,
            queue: Vec::new(),
            aside: Vec::new(),
            works: 0,
            draw: Seeded::new(seed),
            encrypted,
        }
    }

    fn take(&mut self) {
        let mut taken = Vec::new();
        self.store.take_submissions(&mut taken);
        for submission in taken {
            let aside = matches!(submission.op, Op::Work(_) | Op::Stage { .. });
            if aside { self.aside.push(submission) } else { self.queue.push(submission) }
        }
    }

    /// Does some of what was submitted: the ordered operations, or one that runs aside. Answers whether there was anything.
    pub fn step(&mut self, now: Mono) -> bool {
        self.take();
        let Some(committer) = &mut self.committer else { return false };
        let ordered_first = self.aside.is_empty() || (!self.queue.is_empty() && self.draw.below(2) == 0);
        let mut done = Vec::new();
        if ordered_first {
            if self.queue.is_empty() {
                return false;
            }
            committer.commit(&mut self.queue, &mut done);
            for job in committer.take_jobs() {
                let finished = job.run(&*self.files);
                committer.finished(finished, &mut done);
            }
        } else {
            let at = self.draw.below(self.aside.len() as u64) as usize;
            let Submission { lane, ticket, op } = self.aside.remove(at);
            let outcome = journal::aside(&*self.files, &self.folder, op);
            self.works += 1;
            assert!(self.works < 100_000, "it loads without end");
            done.push(Completion { lane, ticket, outcome });
        }
        done.into_iter().for_each(|completion| {
            self.store.complete(completion, now);
        });
        true
    }

    /// Does everything.
    pub fn settle(&mut self, now: Mono) {
        while self.step(now) {}
        assert!(self.store.is_settled());
    }

    /// The process ends, as by kill -9, and another one reads the journal.
    pub fn restart(&mut self) -> Report {
        self.committer = None;
        let (committer, report) =
            Committer::open(self.files.clone(), Settings::default(), &PlainRecords).unwrap();
        self.committer = Some(committer);
        report
    }

    /// The content of a file of the store; empty when there is none.
    pub fn file(&self, name: &str) -> Vec<u8> {
        let path = format!("{}/{name}", self.folder);
        self.files.with(|tree| tree.files.get(&path).cloned().unwrap_or_default())
    }

    /// Ends the store, with `clean` as a server that stops, otherwise as one that is killed, and opens it again.
    pub fn reopen(&mut self, clean: bool, now: Now) -> Recovery {
        if clean {
            while let Step::Wait = self.store.stop() {
                assert!(self.step(now.mono));
            }
            self.store.close();
            self.settle(now.mono);
        }
        self.queue.clear();
        self.aside.clear();
        self.restart();
        let opening = Opening {
            config: self.store.config().clone(),
            folder: self.folder.clone(),
            history: History::Constant,
            encryption: self.encrypted.then(keys),
            now,
            headers: None,
        };
        let opened = opening.run(&*self.files).unwrap();
        let recovery = opened.recovery.clone();
        let lane = self.committer.as_mut().unwrap().register(&self.folder).unwrap();
        self.store = opened.into_store(lane, Box::new(Seeded::new(9)), now.mono);
        recovery
    }
}
