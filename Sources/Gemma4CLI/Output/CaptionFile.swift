import Foundation
import Gemma4Kit
import JSONText

/// A file that results are added to, a line for each picture, so that an interruption costs one picture at most.
///
/// A class, since the first result gives a new file its name: until then an older one stays.
///
/// `@unchecked Sendable`: results are published in turn, one at a time.
final class CaptionFile: @unchecked Sendable {
    let sink: ByteSink
    /// The pictures that it describes.
    let files: Set<String>
    private let draft: OutputFile.Draft?

    /// - Parameter resumes: keeps what is there; otherwise the file begins anew.
    /// - Throws: `CommandError`.
    init(_ path: String, resumes: Bool) throws(CommandError) {
        guard resumes else {
            let draft = try OutputFile.Draft(path)
            (self.draft, sink, files) = (draft, draft.sink, [])
            return
        }
        let descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            throw CommandError(.cannotCreate(reason: String(cString: strerror(errno))), path)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw CommandError(.cannotCreate(reason: "another run is adding to it"), path)
        }
        draft = nil
        sink = ByteSink(descriptor: descriptor, name: path)
        files = try Self.readLines(path, descriptor)
    }

    /// A result is complete.
    func publish() throws(CommandError) { try draft?.publish() }

    /// The files that complete lines name. A line that was cut off is taken away; what `caption` did not write is not.
    private static func readLines(_ path: String, _ descriptor: Int32) throws(CommandError) -> Set<String> {
        guard let bytes = FileManager.default.contents(atPath: path) else { return [] }
        let complete = bytes.lastIndex(of: 0x0A).map { bytes[...$0] } ?? bytes.prefix(0)
        var files: Set<String> = []
        for line in complete.split(separator: 0x0A) {
            guard let file = (try? JSONValue(parsing: Array(line)))?["file"]?.string else {
                throw CommandError(.notResults, path)
            }
            files.insert(file)
        }
        let rest = bytes[complete.endIndex...]
        guard rest.starts(with: lineStart.prefix(rest.count)) else { throw CommandError(.notResults, path) }
        if !rest.isEmpty { ftruncate(descriptor, off_t(complete.count)) }
        return files
    }

    /// What every line begins with (`AnswerPrinter`).
    private static let lineStart = Array(#"{"file":"#.utf8)
}
