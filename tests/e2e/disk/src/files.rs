//! The file system: every request goes to the folder below, unless it is to fail.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::Shared;

/// Nothing changes but through the mount.
const TTL: Duration = Duration::from_secs(3600);
/// The inode number the kernel has for the root.
const ROOT: u64 = 1;

pub struct Files {
    shared: Arc<Shared>,
    /// Where each inode was last seen.
    paths: Mutex<HashMap<u64, PathBuf>>,
    open: Mutex<HashMap<u64, Arc<File>>>,
    next: AtomicU64,
}

type Done<T> = Result<T, Errno>;

impl Files {
    pub fn new(shared: Arc<Shared>) -> Self {
        let paths = HashMap::from([(ROOT, shared.below.clone())]);
        Self { shared, paths: Mutex::new(paths), open: Mutex::default(), next: AtomicU64::new(1) }
    }

    fn path(&self, ino: INodeNo) -> Done<PathBuf> {
        self.paths.lock().unwrap().get(&ino.0).cloned().ok_or(Errno::ENOENT)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Done<PathBuf> {
        Ok(self.path(parent)?.join(name))
    }

    fn file(&self, fh: FileHandle) -> Done<Arc<File>> {
        self.open.lock().unwrap().get(&fh.0).cloned().ok_or(Errno::EBADF)
    }

    fn keep(&self, file: File) -> FileHandle {
        let fh = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().unwrap().insert(fh, Arc::new(file));
        FileHandle(fh)
    }

    /// What a name stands for, remembered by its inode.
    fn entry(&self, path: &Path) -> Done<FileAttr> {
        let found = fs::symlink_metadata(path)?;
        self.paths.lock().unwrap().insert(found.ino(), path.to_owned());
        Ok(attributes(&found))
    }

    fn fails(&self, how: Option<Errno>) -> Done<()> {
        how.map_or(Ok(()), |error| Err(self.shared.refuse(error)))
    }

    fn writable(&self) -> Done<()> {
        self.fails(self.shared.trouble().writes)
    }

    fn attributes_of(&self, ino: INodeNo, fh: Option<FileHandle>) -> Done<FileAttr> {
        let found = match fh {
            Some(fh) => self.file(fh)?.metadata()?,
            None => fs::symlink_metadata(self.path(ino)?)?,
        };
        Ok(FileAttr { ino, ..attributes(&found) })
    }

    fn cut(&self, ino: INodeNo, fh: Option<FileHandle>, size: u64) -> Done<()> {
        let path = self.path(ino)?;
        let file = match fh {
            Some(fh) => self.file(fh)?,
            None => Arc::new(OpenOptions::new().write(true).open(&path)?),
        };
        let length = file.metadata()?.len();
        if size > length {
            self.writable()?;
        }
        let mut journal = self.shared.journal();
        if size > length {
            journal.write(ino.0, &path, length, Some(size - length));
        } else {
            journal.write(ino.0, &path, size, None);
        }
        Ok(file.set_len(size)?)
    }

    fn store(&self, ino: INodeNo, fh: FileHandle, offset: u64, data: &[u8]) -> Done<u32> {
        self.writable()?;
        let file = self.file(fh)?;
        let mut journal = self.shared.journal();
        // An unlinked file has no path, and nothing of it outlives its process.
        if let Ok(path) = self.path(ino) {
            journal.write(ino.0, &path, offset, Some(data.len() as u64));
        }
        file.write_all_at(data, offset)?;
        Ok(u32::try_from(data.len()).unwrap())
    }

    fn make(&self, path: &Path, mode: u32, flags: i32) -> Done<(FileAttr, FileHandle)> {
        self.writable()?;
        let mut journal = self.shared.journal();
        let existed = path.exists();
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(mode).create(true).custom_flags(flags & libc::O_EXCL);
        let file = options.open(path)?;
        if !existed {
            journal.added(path.to_owned(), None);
        }
        Ok((self.entry(path)?, self.keep(file)))
    }

    fn remove(&self, path: &Path) -> Done<()> {
        let mut journal = self.shared.journal();
        let saved = journal.save(path);
        let ino = fs::symlink_metadata(path)?.ino();
        fs::remove_file(path)?;
        journal.removed(path.to_owned(), saved);
        let mut paths = self.paths.lock().unwrap();
        if paths.get(&ino).is_some_and(|known| known == path) {
            paths.remove(&ino);
        }
        Ok(())
    }

    fn move_to(&self, from: &Path, to: &Path) -> Done<()> {
        self.writable()?;
        let mut journal = self.shared.journal();
        let (replaced, saved) = (journal.save(to), journal.save(from));
        fs::rename(from, to)?;
        journal.added(to.to_owned(), replaced);
        journal.removed(from.to_owned(), saved);
        let mut paths = self.paths.lock().unwrap();
        for path in paths.values_mut() {
            if let Ok(rest) = path.strip_prefix(from) {
                *path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            }
        }
        Ok(())
    }

    fn sync(&self, ino: INodeNo) -> Done<()> {
        let failed = self.fails(self.shared.trouble().syncs);
        let mut journal = self.shared.journal();
        match failed {
            Ok(()) => journal.synced(ino.0),
            Err(_) => journal.not_synced(ino.0),
        }
        failed
    }

    fn sync_dir(&self, ino: INodeNo) -> Done<()> {
        self.fails(self.shared.trouble().syncs)?;
        let path = self.path(ino)?;
        self.shared.journal().dir_synced(&path);
        Ok(())
    }
}

fn attributes(found: &Metadata) -> FileAttr {
    let time = |result: std::io::Result<SystemTime>| result.unwrap_or(SystemTime::UNIX_EPOCH);
    FileAttr {
        ino: INodeNo(found.ino()),
        size: found.len(),
        blocks: found.blocks(),
        atime: time(found.accessed()),
        mtime: time(found.modified()),
        ctime: time(found.modified()),
        crtime: SystemTime::UNIX_EPOCH,
        kind: FileType::from_std(found.file_type()).unwrap(),
        perm: u16::try_from(found.mode() & 0o7777).unwrap(),
        nlink: u32::try_from(found.nlink()).unwrap(),
        uid: found.uid(),
        gid: found.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.child(parent, name).and_then(|path| self.entry(&path)) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes_of(ino, fh) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let cut = size.map_or(Ok(()), |size| self.cut(ino, fh, size));
        match cut.and_then(|()| self.attributes_of(ino, fh)) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        let made = self.writable().and_then(|()| self.child(parent, name)).and_then(|path| {
            fs::DirBuilder::new().mode(mode).create(&path)?;
            self.shared.journal().added(path.clone(), None);
            self.entry(&path)
        });
        match made {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.child(parent, name).and_then(|path| self.remove(&path)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.child(parent, name).and_then(|path| Ok(fs::remove_dir(path)?)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let from = self.child(parent, name);
        done(reply, from.and_then(|from| self.move_to(&from, &self.child(newparent, newname)?)));
    }

    fn link(&self, _: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let linked = self.writable().and_then(|()| self.child(newparent, newname)).and_then(|to| {
            fs::hard_link(self.path(ino)?, &to)?;
            self.shared.journal().added(to.clone(), None);
            self.entry(&to)
        });
        match linked {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let opened = self.path(ino).and_then(|path| {
            let writes = flags.0 & libc::O_ACCMODE != libc::O_RDONLY;
            let file = OpenOptions::new().read(true).write(writes).open(path)?;
            Ok(self.keep(file))
        });
        match opened {
            Ok(fh) => reply.opened(fh, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        match self.child(parent, name).and_then(|path| self.make(&path, mode, flags)) {
            Ok((attr, fh)) => reply.created(&TTL, &attr, Generation(0), fh, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.fails(self.shared.trouble().reads).and_then(|()| self.file(fh)).and_then(|file| {
            let (mut data, mut filled) = (vec![0; size as usize], 0);
            while filled < data.len() {
                match file.read_at(&mut data[filled..], offset + filled as u64)? {
                    0 => break,
                    read => filled += read,
                }
            }
            data.truncate(filled);
            Ok(data)
        });
        match read {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.store(ino, fh, offset, data) {
            Ok(size) => reply.written(size),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.open.lock().unwrap().remove(&fh.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.sync(ino));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.sync_dir(ino));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.path(ino).and_then(|path| Ok(fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?));
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) => return reply.error(error),
        };
        for (n, entry) in entries.iter().enumerate().skip(usize::try_from(offset).unwrap()) {
            let Some(kind) = entry.file_type().ok().and_then(FileType::from_std) else { continue };
            let Ok(found) = entry.metadata() else { continue };
            if reply.add(INodeNo(found.ino()), n as u64 + 1, kind, entry.file_name()) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let Ok(found) = nix::sys::statvfs::statvfs(&self.shared.below) else { return reply.error(Errno::EIO) };
        let (size, blocks) = (found.fragment_size(), found.blocks());
        let free = self.shared.trouble().free.map_or(found.blocks_available(), |free| free / size);
        let size = u32::try_from(size).unwrap();
        reply.statfs(blocks, free, free, found.files(), found.files_free(), size, 255, size);
    }
}

fn done(reply: ReplyEmpty, result: Done<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}
