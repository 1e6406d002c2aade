import JSONText
import Tensors

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A file, mapped read-only: opening reads nothing, and its pages are shared with every process that maps it.
///
/// The file must not shrink while it is mapped: an access past its new end raises SIGBUS, which the program turns
/// into a message and which ends a process that does not handle it. The sizes that a header states are therefore
/// checked against `byteCount` when the file is opened.
///
/// `@unchecked Sendable`: the bytes are never written, and stay mapped until the last reference is gone.
package final class MappedFile: FileBytes, @unchecked Sendable {
    /// How a range will be read.
    package enum Access: Sendable {
        /// Scattered: disables readahead (rows of an embedding table).
        case random
        /// No longer read, because there are copies. Drops the pages from this process and, if file and copies exceed
        /// memory, from the page cache; a later read faults them back in.
        case done
    }

    package let path: String
    package let byteCount: Int
    private let start: UnsafeMutableRawPointer
    private let descriptor: Int32
    /// Pages below this offset may stay in the page cache when they are done with.
    private let cachedByteCount: Int

    /// - Throws: `CheckpointError` if `path` does not exist, is not a regular file, is empty, or cannot be read.
    package init(_ path: String) throws(CheckpointError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)  // O_NONBLOCK: a pipe must not block
        guard descriptor >= 0 else {
            let reason = errno
            throw CheckpointError(
                reason == ENOENT || reason == ENOTDIR ? .fileNotFound : .notReadable, file: path,
                found: "cannot be opened (\(String(cString: strerror(reason))))",
                remedy: reason == EACCES ? "Give this user the right to read it." : "Check the path and the download.")
        }
        var isOpen = false
        defer { if !isOpen { close(descriptor) } }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw CheckpointError(
                .notAFile, file: path, expected: "a plain file",
                found: status.st_mode & S_IFMT == S_IFDIR ? "a directory" : "a pipe or device")
        }
        byteCount = Int(status.st_size)
        guard byteCount > 0 else {
            throw CheckpointError(.emptyFile, file: path, found: "the file is empty", remedy: "Download it again.")
        }
        guard let start = mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
            throw CheckpointError(
                .notReadable, file: path, found: "cannot be mapped (\(String(cString: strerror(errno))))",
                remedy: "Copy it to a local disk, and see whether the address space is limited (ulimit -v).")
        }
        cachedByteCount = Self.cachedByteCount(of: byteCount, available: MemoryLimit.current.availableBytes)
        self.path = path
        self.start = start
        self.descriptor = descriptor
        isOpen = true
    }

    deinit {
        munmap(start, byteCount)
        close(descriptor)
    }

    /// A copy of the whole file, read with `pread`: later changes of the file do no harm.
    ///
    /// - Throws: `CheckpointError` if the file has become shorter, or cannot be read.
    package func contents() throws(CheckpointError) -> [UInt8] {
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: byteCount) { bytes, initialized in
            while count < byteCount {
                let read = pread(descriptor, bytes.baseAddress! + count, byteCount - count, off_t(count))
                guard read > 0 || read < 0 && errno == EINTR else { break }
                count += max(0, read)
            }
            initialized = count
        }
        guard count == byteCount else {
            throw CheckpointError(
                .notReadable, file: path, expected: "\(byteCount) bytes", found: "\(count)",
                remedy: "The file was changed while it was read, or its disk fails. Try again.")
        }
        return bytes
    }

    package func read(_ range: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer) -> Bool {
        guard let first = range.baseAddress, first >= start, first + range.count <= start + byteCount else {
            return false
        }
        return pread(descriptor, out, range.count, off_t(first - UnsafeRawPointer(start))) == range.count
    }

    /// How much of a file, from its start, fits into the page cache beside copies of all of it; a quarter of the room
    /// is left to others. Caching more would evict parts that are still to be read; for a file that was fully cached,
    /// all of them.
    static func cachedByteCount(of byteCount: Int, available: Int) -> Int { max(0, available - byteCount) / 4 * 3 }

    /// The bytes of the file; valid while this object lives.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: byteCount) }

    /// Advises the kernel how a range will be read; affects only speed. The range is extended to whole pages.
    package func advise(_ access: Access, _ range: Range<Int>? = nil) {
        let range = (range ?? 0..<byteCount).clamped(to: 0..<byteCount)
        let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = range.lowerBound / pageSize * pageSize
        let advice =
            switch access {
            case .random: MADV_RANDOM
            case .done: MADV_DONTNEED
            }
        madvise(start + first, range.upperBound - first, Int32(advice))
        #if os(Linux)
            if access == .done && range.upperBound > cachedByteCount {
                posix_fadvise(descriptor, off_t(first), off_t(range.upperBound - first), POSIX_FADV_DONTNEED)
            }
        #endif
    }
}

extension JSONValue {
    /// Parses a JSON file of a checkpoint.
    ///
    /// - Throws: `CheckpointError` naming the file and, if its text is not JSON, line and column.
    package init(contentsOf path: String) throws(CheckpointError) {
        let bytes = try MappedFile(path).contents()
        do {
            try self.init(parsing: bytes)
        } catch {
            throw CheckpointError(
                .invalidJSON, file: path, place: "line \(error.line), column \(error.column)", expected: error.expected,
                found: error.found, remedy: "Download the file again, or mend it there.")
        }
    }
}

/// Whether `path` exists.
func isPresent(_ path: String) -> Bool { access(path, F_OK) == 0 }
