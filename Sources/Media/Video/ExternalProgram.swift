import Foundation

/// A program that is not ours and may not be there: `ffmpeg` and `ffprobe`, which read what libsndfile does not, and others that
/// read pictures.
struct ExternalProgram: Sendable {
    private let executable: URL

    /// Looks for it in the folders of `PATH`.
    ///
    /// - Parameters:
    ///   - names: what it may be called.
    ///   - source: what errors call the file that needs it.
    ///   - kind: what it reads.
    ///   - packages: Debian's and Homebrew's.
    init(
        _ names: [String], for source: String, reads kind: String,
        packages: (apt: String, brew: String) = ("ffmpeg", "ffmpeg"),
        path: String? = ProcessInfo.processInfo.environment["PATH"]
    ) throws(MediaError) {
        let folders = (path ?? "").split(separator: ":").map(String.init)
        let found = names.flatMap { name in folders.map { "\($0)/\(name)" } }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
        guard let found else {
            throw MediaError(
                code: .missingProgram, source: source, expected: "\(names[0]) on the PATH, which reads \(kind)",
                found: "none",
                remedy: "install it with: apt-get install \(packages.apt), or: brew install \(packages.brew)")
        }
        executable = URL(filePath: found)
    }

    init(_ name: String, for source: String, reads kind: String = "films") throws(MediaError) {
        try self.init([name], for: source, reads: kind)
    }

    /// `PATH` as an argument: no protocol but a file's, and no option.
    static func argument(_ file: URL) -> String { "file:\(file.path)" }

    /// A run that is under way. A class, since reading moves on; it ends with its last reference.
    final class Run {
        private let process = Process()
        private let output = Pipe()
        private let messages = Messages()
        private let source: String

        fileprivate init(_ executable: URL, _ arguments: [String], _ source: String) throws(MediaError) {
            self.source = source
            process.executableURL = executable
            process.arguments = arguments
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = output
            process.standardError = messages.pipe
            do {
                try process.run()
            } catch {
                throw MediaError(
                    code: .missingProgram, source: source, expected: "\(executable.path) to start",
                    found: error.localizedDescription, remedy: "install it again")
            }
            messages.collect()
        }

        deinit {
            if process.isRunning { process.terminate() }
        }

        /// The next at most `count` bytes; none at the end.
        ///
        /// - Throws: what the program says of the file, if it fails.
        func read(upTo count: Int) throws(MediaError) -> Data {
            if let bytes = try? output.fileHandleForReading.read(upToCount: count), !bytes.isEmpty { return bytes }
            process.waitUntilExit()
            guard process.terminationStatus == 0 else {
                throw MediaError(
                    code: .malformed, source: source,
                    expected: "a file that \(process.executableURL?.lastPathComponent ?? "the program") reads",
                    found: messages.first ?? "one at which it ends with code \(process.terminationStatus)",
                    remedy: "check the file")
            }
            return Data()
        }

        /// The first line that the program said of the file, if it said anything; waits until it has ended.
        var complaint: String? { messages.first }

        /// Exactly `count` bytes; fewer at the end.
        func readExactly(_ count: Int) throws(MediaError) -> Data {
            var bytes = Data()
            while bytes.count < count {
                let more = try read(upTo: count - bytes.count)
                if more.isEmpty { break }
                bytes += more
            }
            return bytes
        }
    }

    func start(_ arguments: [String], source: String) throws(MediaError) -> Run {
        try Run(executable, arguments, source)
    }
}

/// What a program says on standard error, read while it runs so that it never has to wait.
///
/// Sendable although it changes: the condition's lock is held.
private final class Messages: @unchecked Sendable {
    let pipe = Pipe()
    private let condition = NSCondition()
    private var bytes: Data?

    func collect() {
        Thread.detachNewThread { [self] in
            let bytes = (try? pipe.fileHandleForReading.readToEnd()) ?? Data()
            condition.lock()
            self.bytes = bytes
            condition.broadcast()
            condition.unlock()
        }
    }

    /// The first line; waits until the program has ended.
    var first: String? {
        condition.lock()
        defer { condition.unlock() }
        while bytes == nil { condition.wait() }
        return String(decoding: bytes ?? Data(), as: UTF8.self).split(separator: "\n").first.map(String.init)
    }
}
