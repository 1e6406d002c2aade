import Foundation
import Gemma4Kit
import Media

/// A file written atomically: it appears when complete, so that a full disk neither leaves a partial file nor destroys
/// the old one.
struct OutputFile {
    let path: String

    init(_ path: String) { self.path = path }

    // MARK: Protection against overwriting

    /// Refuses to overwrite an input, by whatever path or link, and any image, recording or film, which `-o *.wav`
    /// would do to its first file.
    ///
    /// - Throws: `CommandError` for the first such output.
    static func check(_ outputs: [String], inputs: [String]) throws(CommandError) {
        var read: [FileIdentity: String] = [:]
        for input in inputs { if let identity = FileIdentity(input) { read[identity] = input } }
        for output in outputs {
            guard let identity = FileIdentity(output), identity.isRegularFile else { continue }
            if let input = read[identity] { throw CommandError(.overwritesInput(input), output) }
            if let format = MediaKind(of: URL(filePath: output))?.name {
                throw CommandError(.overwritesMedium(format: format), output)
            }
        }
    }

    // MARK: Writing

    /// Writes a temporary file and renames it. Writes directly to anything but a regular file, for example a device or
    /// a pipe.
    ///
    /// - Throws: `CommandError`.
    func replace(with bytes: [UInt8]) throws(CommandError) {
        let draft = try Draft(path)
        try draft.sink.write(bytes)
        try draft.finish()
    }

    /// Like `replace`, but creates missing folders.
    func replaceInFolders(with bytes: [UInt8]) throws(CommandError) {
        try makeFolders()
        try replace(with: bytes)
    }

    /// Checks in advance whether the file can be created; leaves nothing but its folders.
    func probe() throws(CommandError) {
        // Opening and closing a pipe would signal the end to its reader.
        if let identity = FileIdentity(path), !identity.isRegularFile, !identity.isFolder { return }
        try makeFolders()
        _ = try Draft(path)
    }

    private func makeFolders() throws(CommandError) {
        let folder = URL(filePath: path).deletingLastPathComponent()
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw CommandError(.cannotCreate(reason: error.localizedDescription), folder.path)
        }
    }

    /// The target of a chain of links, which need not exist: renaming over a link would replace the link.
    var target: String {
        var path = path
        for _ in 0..<40 {
            guard let next = try? FileManager.default.destinationOfSymbolicLink(atPath: path) else { break }
            path = next.hasPrefix("/") ? next : URL(filePath: path).deletingLastPathComponent().path + "/" + next
        }
        return path
    }

    /// A temporary file that is renamed when complete. Anything but a regular file is written directly.
    ///
    /// A class, so that it is removed with its last reference unless it was finished.
    final class Draft {
        let sink: ByteSink
        private let path: String
        private let target: String
        /// Nil once the file is renamed, and for files that are written directly.
        private var draft: String?
        private var isOpen = true

        /// - Throws: `CommandError` if it cannot be created.
        init(_ path: String) throws(CommandError) {
            self.path = path
            var status = stat()
            let exists = stat(path, &status) == 0
            let isReplaced = !exists || status.st_mode & S_IFMT == S_IFREG
            target = isReplaced ? OutputFile(path).target : path
            // A random suffix, not the process id, which is 1 in every container: the draft of a killed process would
            // be in the way.
            let mark = String(UInt32.random(in: 0 ... .max), radix: 36)
            draft = isReplaced ? "\(target).\(mark).partial" : nil
            if let draft { Drafts.add(draft) }
            let descriptor =
                if let draft {
                    open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? status.st_mode & 0o777 : 0o666)
                } else {
                    open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
                }
            sink = ByteSink(descriptor: descriptor, name: path)
            guard descriptor >= 0 else {
                isOpen = false
                if let draft { Drafts.remove(draft) }
                throw failure(CommandError.Code.cannotCreate)
            }
        }

        deinit {
            if isOpen { close(sink.descriptor) }
            guard let draft else { return }
            unlink(draft)
            Drafts.remove(draft)
        }

        /// Renames the file; it may still be appended to.
        func publish() throws(CommandError) {
            guard let draft else { return }
            guard rename(draft, target) == 0 else { throw failure(CommandError.Code.cannotCreate) }
            Drafts.remove(draft)
            self.draft = nil
        }

        /// Closes and renames the file.
        func finish() throws(CommandError) {
            isOpen = false
            // Some file systems report a full disk only on close.
            guard close(sink.descriptor) == 0 else { throw failure(CommandError.Code.cannotWrite) }
            try publish()
        }

        private func failure(_ code: (String) -> CommandError.Code) -> CommandError {
            CommandError(code(String(cString: strerror(errno))), path)
        }
    }
}

/// Identity of a file, whatever path leads to it: its device and inode.
struct FileIdentity: Hashable {
    private let device: dev_t
    private let number: ino_t
    private let type: mode_t

    /// Follows links. Nil if the file does not exist.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    init(_ status: stat) { (device, number, type) = (status.st_dev, status.st_ino, status.st_mode & S_IFMT) }

    var isRegularFile: Bool { type == S_IFREG }
    var isFolder: Bool { type == S_IFDIR }
}
