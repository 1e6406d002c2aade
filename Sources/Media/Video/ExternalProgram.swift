import Foundation

/// An external program that may not be installed: `ffmpeg` and `ffprobe`, which decode formats that the linked
/// libraries do not, and others that decode images.
package struct ExternalProgram: Sendable {
    private let executable: URL

    /// Searches the folders of `PATH`.
    ///
    /// - Parameters:
    ///   - names: possible names of the program.
    ///   - source: the name in errors of the file that needs it.
    ///   - reads: what it would read of the file.
    ///   - packages: the packages of Debian and Homebrew.
    init(
        _ names: String..., for source: String, reads: String = "films",
        packages: (apt: String, brew: String) = ("ffmpeg", "ffmpeg"),
        path: String? = ProcessInfo.processInfo.environment["PATH"]
    ) throws(MediaError) {
        guard let found = names.lazy.compactMap({ Self.find($0, path: path) }).first else {
            throw MediaError(
                code: .missingProgram, source: source, expected: "\(names[0]) on the PATH, which reads \(reads)",
                found: "none",
                remedy: "install it with: apt-get install \(packages.apt), or: brew install \(packages.brew)")
        }
        executable = URL(filePath: found)
    }

    /// Path of the program on the `PATH`; nil if it is not found.
    package static func find(_ name: String, path: String? = ProcessInfo.processInfo.environment["PATH"]) -> String? {
        (path ?? "").split(separator: ":").lazy.map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// `PATH` as an argument that can be neither an option nor another protocol than `file`.
    static func argument(_ file: URL) -> String { "file:\(file.path)" }

    /// A running process. A class because reading moves its position; the process ends with the last reference.
    final class Run {
        private let child: pid_t
        private let output: FileHandle
        private let messages: Messages
        private let source: String
        private let name: String
        /// Set once it has ended.
        private var status: Int32?

        fileprivate init(_ executable: URL, _ arguments: [String], _ source: String, _ input: FileHandle?)
            throws(MediaError)
        {
            self.source = source
            name = executable.lastPathComponent
            func failure(_ code: Int32) -> MediaError {
                MediaError(
                    code: .missingProgram, source: source, expected: "\(executable.path) to start",
                    found: String(cString: strerror(code)),
                    remedy: code == EMFILE ? "allow more open files: ulimit -n 256" : "install it again")
            }
            ProgramStart.lock.lock()
            defer { ProgramStart.lock.unlock() }
            guard let standardOutput = ProgramStart.pipe() else { throw failure(errno) }
            guard let standardError = ProgramStart.pipe() else {
                let code = errno
                [standardOutput.read, standardOutput.write].forEach { close($0) }
                throw failure(code)
            }
            let spawned = ProgramStart.spawn(
                [executable.path] + arguments, input: input?.fileDescriptor, output: standardOutput.write,
                error: standardError.write)
            [standardOutput.write, standardError.write].forEach { close($0) }
            output = FileHandle(fileDescriptor: standardOutput.read, closeOnDealloc: true)
            let errors = FileHandle(fileDescriptor: standardError.read, closeOnDealloc: true)
            messages = Messages(errors)
            (child, status) = (spawned.child, spawned.code == 0 ? nil : 0)
            guard spawned.code == 0 else { throw failure(spawned.code) }
            messages.collect()
        }

        deinit {
            guard status == nil else { return }
            // Its output is no longer needed, and it may be blocked on a disk.
            kill(child, SIGKILL)
            var ignored: Int32 = 0
            waitpid(child, &ignored, 0)
        }

        /// Waits for it to exit.
        private func exitCode() -> Int32 {
            if status == nil {
                var word: Int32 = 0
                while waitpid(child, &word, 0) < 0, errno == EINTR {}
                // As in a shell: 128 plus the number of the signal.
                status = word & 0x7F == 0 ? word >> 8 & 0xFF : 128 + (word & 0x7F)
            }
            return status ?? 0
        }

        /// The next bytes, at most `count`; empty if none arrive within 0.2 s; nil at the end.
        ///
        /// - Throws: the program's message about the file, if it fails.
        func readIfReady(upTo count: Int) throws(MediaError) -> Data? {
            var state = pollfd(fd: output.fileDescriptor, events: Int16(POLLIN), revents: 0)
            if poll(&state, 1, 200) == 0 { return Data() }
            let bytes = try read(upTo: count)
            return bytes.isEmpty ? nil : bytes
        }

        /// The next bytes, at most `count`; empty at the end.
        ///
        /// - Throws: the program's message about the file, if it fails.
        func read(upTo count: Int) throws(MediaError) -> Data {
            let bytes = readAvailable(min(count, Self.mostAtOnce))
            if !bytes.isEmpty { return bytes }
            let code = exitCode()
            guard code == 0 else {
                throw MediaError(
                    code: .malformed, source: source, expected: "a file that \(name) reads",
                    found: complaints.first ?? "one at which it ends with code \(code)",
                    remedy: "check the file")
            }
            return Data()
        }

        /// The first message of the program about the file, if it wrote any; waits for it to exit.
        var complaint: String? { complaints.first }

        /// Maximum read size; a pipe holds at most a quarter of it.
        private static let mostAtOnce = 1 << 18

        /// Reads the bytes that the pipe holds; `FileHandle` would wait for all of `count`.
        private func readAvailable(_ count: Int) -> Data {
            let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, read in
                var got = 0
                repeat {
                    got = Foundation.read(output.fileDescriptor, buffer.baseAddress, count)
                } while got < 0 && errno == EINTR
                read = max(0, got)
            }
            return Data(bytes)
        }

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

        /// The program's messages about the file, without duplicates and without object addresses. Waits for it to
        /// exit.
        var complaints: [String] {
            var lines: [String] = []
            for line in messages.lines {
                let text = line.replacing(/^\[(\w[^ @\]]*)[^\]]*\] */) { "\($0.1): " }.replacing(
                    /^\[[^\]]*\] */, with: ""
                )
                .replacing("file:", with: "").trimmingCharacters(in: .whitespaces)
                if !text.isEmpty, !lines.contains(text) { lines.append(text) }
            }
            return lines
        }
    }

    /// - Parameters:
    ///   - source: the name of the file in errors.
    ///   - input: standard input of the program; nil: none.
    func start(_ arguments: [String], source: String, input: FileHandle? = nil) throws(MediaError) -> Run {
        try Run(executable, arguments, source, input)
    }
}

/// The standard error of a program, drained while it runs so that it never blocks.
///
/// Sendable although it is mutable: the condition's lock is held.
private final class Messages: @unchecked Sendable {
    /// Bound in bytes: a damaged film can produce messages for hours.
    private static let most = 1 << 16

    private let pipe: FileHandle
    private let condition = NSCondition()
    private var bytes = Data()
    private var isEnd = false

    init(_ pipe: FileHandle) { self.pipe = pipe }

    func collect() {
        Thread.detachNewThread { [self] in
            while let more = try? pipe.read(upToCount: 4_096), !more.isEmpty {
                condition.lock()
                if bytes.count < Self.most { bytes += more }
                condition.unlock()
            }
            condition.lock()
            isEnd = true
            condition.broadcast()
            condition.unlock()
        }
    }

    /// Waits until the program has ended.
    var lines: [String] {
        condition.lock()
        defer { condition.unlock() }
        while !isEnd { condition.wait() }
        return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
    }
}
