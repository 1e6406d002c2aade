import Foundation
import Tokenization

/// The SHA-256 of a model's files according to their source.
///
/// Hugging Face names LFS files by their SHA-256: `hf download` uses it as the file name in its cache (`blobs/`), and
/// records it beside files downloaded to a local folder (`.cache/huggingface/download/NAME.metadata`, second line).
/// `SHA256SUMS` is written by `sha256sum`. Small files, which git stores itself, have another hash and are not
/// compared.
///
/// Source: huggingface_hub, `_local_folder.py`, `file_download.py`.
struct DownloadedChecksums {
    /// Sorted by name.
    let expected: [(file: URL, hash: String)]

    /// - Parameter place: a model's folder, or its file.
    init(of place: URL) {
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: place.path, isDirectory: &isFolder)
        let folder = exists && isFolder.boolValue ? place : place.deletingLastPathComponent()
        let names = isFolder.boolValue ? Self.names(in: folder) : [place.lastPathComponent]
        let sums = Self.sums(in: folder)
        expected = names.sorted().compactMap { name in
            let file = folder.appending(path: name)
            let hash = sums[name] ?? Self.noted(name, in: folder) ?? Self.blob(file)
            return hash.map { (file, $0) }
        }
    }

    /// - Parameter progress: called with the fraction that was read.
    /// - Throws: `CommandError` if the file cannot be read.
    func hash(of file: URL, progress: (Double) -> Void) throws(CommandError) -> String {
        let descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
        defer { if descriptor >= 0 { close(descriptor) } }
        var status = stat()
        var hash = SHA256()
        var (total, read) = (0, descriptor >= 0 && fstat(descriptor, &status) == 0 ? 1 : -1)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        while read > 0 {
            read = Foundation.read(descriptor, buffer.baseAddress, buffer.count)
            guard read > 0 else { break }
            hash.update(UnsafeRawBufferPointer(start: buffer.baseAddress, count: read))
            total += read
            progress(Double(total) / Double(max(1, status.st_size)))
        }
        guard read == 0 else { throw CommandError(.unreadable(reason: String(cString: strerror(errno))), file.path) }
        return hash.hex()
    }

    private static func names(in folder: URL) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    }

    private static func isHash(_ text: some StringProtocol) -> Bool {
        text.utf8.count == 64 && text.allSatisfy(\.isHexDigit)
    }

    /// Lines of `HASH  NAME`, or `HASH *NAME`.
    private static func sums(in folder: URL) -> [String: String] {
        let text = (try? String(contentsOf: folder.appending(path: "SHA256SUMS"), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").reduce(into: [:]) { sums, line in
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, isHash(parts[0]) else { return }
            sums[String(parts[1].drop { $0 == " " || $0 == "*" })] = parts[0].lowercased()
        }
    }

    private static func noted(_ name: String, in folder: URL) -> String? {
        let note = folder.appending(path: ".cache/huggingface/download/\(name).metadata")
        let lines = (try? String(contentsOf: note, encoding: .utf8))?.split(separator: "\n") ?? []
        return lines.count > 1 && isHash(lines[1]) ? String(lines[1]) : nil
    }

    /// The name of the file in Hugging Face's cache that a symbolic link points to.
    private static func blob(_ file: URL) -> String? {
        let target = file.resolvingSymlinksInPath()
        let isBlob = target.deletingLastPathComponent().lastPathComponent == "blobs"
        return isBlob && isHash(target.lastPathComponent) ? target.lastPathComponent : nil
    }
}
