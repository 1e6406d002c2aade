import Foundation

/// The bytes of one image or recording, and its name in errors.
struct SourceBytes: Sendable {
    let name: String
    let bytes: Data
    /// The file that holds them, if it can be read again.
    let file: URL?
    private let isMapped: Bool
    /// Smaller files are read: if another process truncates one meanwhile, that is an error instead of SIGBUS.
    private static let leastMappedByteCount = 16 << 20

    init(_ bytes: Data, name: String) {
        self.name = name
        self.bytes = bytes
        (file, isMapped) = (nil, false)
    }

    /// Maps large files, so that a long recording takes no memory; reads small files and pipes to their end.
    ///
    /// - Parameter isCancelled: polled while reading a pipe; if true, the data read so far is used.
    init(contentsOf file: URL, isCancelled: () -> Bool = { false }) throws(MediaError) {
        name = file.path
        // Without O_NONBLOCK, opening a named pipe without a writer would block.
        let descriptor = file.withUnsafeFileSystemRepresentation { path in
            path.map { open($0, O_RDONLY | O_NONBLOCK | O_CLOEXEC) } ?? -1
        }
        guard descriptor >= 0 else {
            let code = errno
            throw Self.unreadable(
                name, code == ENOENT ? "no such file" : "one that cannot be read (\(String(cString: strerror(code))))")
        }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else {
            throw Self.unreadable(name, "a directory")
        }
        let isRegular = status.st_mode & S_IFMT == S_IFREG && status.st_size > 0
        isMapped = isRegular && status.st_size >= Self.leastMappedByteCount
        self.file = isRegular ? file : nil
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        do {
            // `mappedIfSafe` reads the file into memory on Linux.
            bytes =
                try isMapped
                ? Data(contentsOf: file, options: .alwaysMapped) : Self.readToEnd(handle, name, isCancelled)
        } catch let error as MediaError {
            throw error
        } catch {
            throw Self.unreadable(name, "one that cannot be read (\(error.localizedDescription))")
        }
    }

    /// Reads to the end of the file.
    ///
    /// - Parameter isCancelled: polled meanwhile; if true, the data read so far is used.
    init(_ descriptor: Int32, name: String, isCancelled: () -> Bool = { false }) throws(MediaError) {
        self.name = name
        (file, isMapped) = (nil, false)
        do {
            bytes = try Self.readToEnd(FileHandle(fileDescriptor: descriptor), name, isCancelled)
        } catch let error as MediaError {
            throw error
        } catch {
            throw Self.unreadable(name, "one that cannot be read (\(error.localizedDescription))")
        }
    }

    /// Releases the memory of bytes that will hardly be read again.
    func forget(_ range: Range<Int>) {
        guard isMapped else { return }
        bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            let page = Int(getpagesize())
            let first = (Int(bitPattern: base) + range.lowerBound + page - 1) / page * page
            let end = (Int(bitPattern: base) + range.upperBound) / page * page
            guard first < end, let start = UnsafeMutableRawPointer(bitPattern: first) else { return }
            madvise(start, end - first, MADV_DONTNEED)
        }
    }

    /// An error about this source.
    func error(_ code: MediaError.Code, expected: String, found: String, remedy: String) -> MediaError {
        MediaError(code: code, source: name, expected: expected, found: found, remedy: remedy)
    }

    private static func unreadable(_ name: String, _ found: String) -> MediaError {
        MediaError(
            code: .unreadable, source: name, expected: "a readable file", found: found,
            remedy: "check the path and its permissions")
    }

    /// Some devices never end.
    private static let longestStream = 1 << 32

    private static func readToEnd(_ handle: FileHandle, _ name: String, _ isCancelled: () -> Bool) throws -> Data {
        var bytes = Data()
        while !isCancelled() {
            var state = pollfd(fd: handle.fileDescriptor, events: Int16(POLLIN), revents: 0)
            if poll(&state, 1, 200) == 0 { continue }
            let block = try handle.read(upToCount: 1 << 16) ?? Data()
            if block.isEmpty { break }
            bytes += block
            guard bytes.count <= longestStream else {
                throw MediaError(
                    code: .tooLarge, source: name, expected: "a stream of at most 4 GiB", found: "more",
                    remedy: "write it to a file first")
            }
        }
        return bytes
    }
}
