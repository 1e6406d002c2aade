import Foundation
import Gemma4Kit

/// A file that results are added to, a line for each picture, so that an interruption costs one picture at most.
struct CaptionFile {
    let sink: ByteSink
    /// The pictures that it describes.
    let files: Set<String>

    /// - Parameter resumes: keeps what is there; otherwise the file begins anew.
    /// - Throws: `CommandError`.
    init(_ path: String, resumes: Bool) throws(CommandError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (resumes ? 0 : O_TRUNC), 0o666)
        guard descriptor >= 0 else {
            throw CommandError(.cannotCreate(reason: String(cString: strerror(errno))), path)
        }
        sink = ByteSink(descriptor: descriptor, name: path)
        files = resumes ? Self.readLines(path, descriptor) : []
    }

    /// The files that complete lines name. A line that was cut off is taken away.
    private static func readLines(_ path: String, _ descriptor: Int32) -> Set<String> {
        guard let bytes = FileManager.default.contents(atPath: path) else { return [] }
        let complete = bytes.lastIndex(of: 0x0A).map { bytes[...$0] } ?? bytes.prefix(0)
        if complete.count < bytes.count { ftruncate(descriptor, off_t(complete.count)) }
        return Set(
            complete.split(separator: 0x0A).compactMap { line in
                (try? JSONValue(parsing: Array(line)))?["file"]?.string
            })
    }
}
