import Foundation
import Gemma4Kit
import Media

/// A file that appears when it is complete, so that a full disk leaves neither half a file nor loses the old one.
struct OutputFile {
    let path: String

    init(_ path: String) { self.path = path }

    // MARK: What must not be written over

    /// Refuses to write over a file that is read, by whatever path or link, or over any picture, recording or film: what
    /// `-o *.wav` makes of its first file.
    ///
    /// - Throws: `CommandError` for the first of such outputs.
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

    /// Writes beside the file and renames. What is no regular file, a device or a pipe say, is written to as it is.
    ///
    /// - Throws: `CommandError`.
    func replace(with bytes: [UInt8]) throws(CommandError) {
        let draft = try Draft(path)
        try draft.sink.write(bytes)
        try draft.finish()
    }

    /// The same, in folders that are made where they are missing.
    func replaceInFolders(with bytes: [UInt8]) throws(CommandError) {
        try makeFolders()
        try replace(with: bytes)
    }

    /// Finds out before the work whether the file can be made; leaves nothing but its folders.
    func probe() throws(CommandError) {
        // A pipe's reader would take it for the end.
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

    /// The file that a chain of links ends in, which need not exist: renaming over a link would replace the link.
    var target: String {
        var path = path
        for _ in 0..<40 {
            guard let next = try? FileManager.default.destinationOfSymbolicLink(atPath: path) else { break }
            path = next.hasPrefix("/") ? next : URL(filePath: path).deletingLastPathComponent().path + "/" + next
        }
        return path
    }

    /// A file under another name until it is complete. What is no regular file is written to as it is.
    ///
    /// A class, since it is removed with its last reference unless it was finished.
    final class Draft {
        let sink: ByteSink
        private let path: String
        private let target: String
        /// Nil once the file has its own name, and where it needs no other.
        private var draft: String?
        private var isOpen = true

        /// - Throws: `CommandError` if it cannot be created.
        init(_ path: String) throws(CommandError) {
            self.path = path
            var status = stat()
            let exists = stat(path, &status) == 0
            let isReplaced = !exists || status.st_mode & S_IFMT == S_IFREG
            target = isReplaced ? OutputFile(path).target : path
            // Not by the number of the process, which is 1 in every container: a killed one's draft would be in the way.
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

        /// Gives the file its name; it may still be added to.
        func publish() throws(CommandError) {
            guard let draft else { return }
            guard rename(draft, target) == 0 else { throw failure(CommandError.Code.cannotCreate) }
            Drafts.remove(draft)
            self.draft = nil
        }

        /// Closes the file and gives it its name.
        func finish() throws(CommandError) {
            isOpen = false
            // Some file systems tell only now that the disk is full.
            guard close(sink.descriptor) == 0 else { throw failure(CommandError.Code.cannotWrite) }
            try publish()
        }

        private func failure(_ code: (String) -> CommandError.Code) -> CommandError {
            CommandError(code(String(cString: strerror(errno))), path)
        }
    }
}

/// What a file is, whatever leads to it: its device and its number there.
struct FileIdentity: Hashable {
    private let device: dev_t
    private let number: ino_t
    private let type: mode_t

    /// Links are followed. Nil if there is nothing.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    init(_ status: stat) { (device, number, type) = (status.st_dev, status.st_ino, status.st_mode & S_IFMT) }

    var isRegularFile: Bool { type == S_IFREG }
    var isFolder: Bool { type == S_IFDIR }
}
