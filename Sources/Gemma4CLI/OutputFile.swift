import Foundation

/// A file that appears when it is complete, so that a full disk leaves neither half a file nor loses the old one.
struct OutputFile {
    let path: String

    init(_ path: String) { self.path = path }

    /// Writes beside the file and renames. What is no regular file, a device or a pipe say, is written to as it is.
    ///
    /// - Throws: `CommandError`.
    func replace(with bytes: [UInt8]) throws(CommandError) {
        var status = stat()
        let exists = stat(path, &status) == 0
        if exists, status.st_mode & S_IFMT != S_IFREG {
            return try write(bytes, to: open(path, O_WRONLY | O_CLOEXEC))
        }
        let draft = "\(path).\(getpid()).partial"
        let mode = exists ? status.st_mode & 0o777 : 0o666
        do throws(CommandError) {
            try write(bytes, to: open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode))
            guard rename(draft, path) == 0 else { throw failure(CommandError.Code.cannotCreate) }
        } catch {
            unlink(draft)
            throw error
        }
    }

    /// The same, in folders that are made where they are missing.
    func replaceInFolders(with bytes: [UInt8]) throws(CommandError) {
        let folder = URL(filePath: path).deletingLastPathComponent()
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw CommandError(.cannotCreate(reason: error.localizedDescription), folder.path)
        }
        try replace(with: bytes)
    }

    private func write(_ bytes: [UInt8], to descriptor: Int32) throws(CommandError) {
        guard descriptor >= 0 else { throw failure(CommandError.Code.cannotCreate) }
        do throws(CommandError) {
            try ByteSink(descriptor: descriptor, name: path).write(bytes)
        } catch {
            close(descriptor)
            throw error
        }
        // Some file systems tell only now that the disk is full.
        guard close(descriptor) == 0 else { throw failure(CommandError.Code.cannotWrite) }
    }

    private func failure(_ code: (String) -> CommandError.Code) -> CommandError {
        CommandError(code(String(cString: strerror(errno))), path)
    }
}
