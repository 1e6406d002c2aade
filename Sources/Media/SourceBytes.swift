import Foundation

/// The bytes of one picture or recording and the name by which errors call them.
struct SourceBytes: Sendable {
    let name: String
    let bytes: Data
    /// The file that they lie in, if it can be read again.
    let file: URL?
    private var isMapped: Bool { file != nil }

    init(_ bytes: Data, name: String) {
        self.name = name
        self.bytes = bytes
        file = nil
    }

    /// A file is mapped, so that a long recording costs no memory; a pipe is read to its end.
    init(contentsOf file: URL) throws(MediaError) {
        name = file.path
        do {
            let handle = try FileHandle(forReadingFrom: file)
            defer { try? handle.close() }
            var status = stat()
            guard fstat(handle.fileDescriptor, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else {
                throw Self.unreadable(name, "a directory")
            }
            let isMapped = status.st_mode & S_IFMT == S_IFREG && status.st_size > 0
            self.file = isMapped ? file : nil
            // `mappedIfSafe` reads the file into memory on Linux.
            bytes = try isMapped ? Data(contentsOf: file, options: .alwaysMapped) : Self.readToEnd(handle, name)
        } catch let error as MediaError {
            throw error
        } catch {
            let exists = FileManager.default.fileExists(atPath: name)
            throw Self.unreadable(
                name, exists ? "one that cannot be read (\(error.localizedDescription))" : "no such file")
        }
    }

    /// Gives back the memory of bytes that will hardly be needed again.
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

    /// What errors of this source have in common.
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

    private static func readToEnd(_ handle: FileHandle, _ name: String) throws -> Data {
        var bytes = Data()
        while let block = try handle.read(upToCount: 1 << 20), !block.isEmpty {
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
