import Foundation
import Gemma4Kit
import JSONText

/// A file to which results are appended, one line per input, so that an interruption loses at most the inputs in
/// progress.
///
/// A class, because the first result renames a new file: until then an older one is kept.
///
/// `@unchecked Sendable`: results are published one at a time.
final class ResultsFile: @unchecked Sendable {
    let sink: ByteSink
    /// The inputs whose results it holds.
    let inputs: Set<String>
    /// Nil if it is empty.
    let firstLine: JSONValue?
    private let draft: OutputFile.Draft?

    /// - Parameters:
    ///   - resumes: keeps existing lines; otherwise the file is replaced.
    ///   - key: the first key of every line, whose value names the input.
    /// - Throws: `CommandError`.
    init(_ path: String, resumes: Bool, key: String) throws(CommandError) {
        guard resumes else {
            let draft = try OutputFile.Draft(path)
            (self.draft, sink, inputs, firstLine) = (draft, draft.sink, [], nil)
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
        (inputs, firstLine) = try Self.readLines(path, descriptor, key)
    }

    /// Called when a result is complete.
    func publish() throws(CommandError) { try draft?.publish() }

    /// The inputs named by complete lines. Removes an incomplete last line, unless this program did not write it.
    private static func readLines(
        _ path: String, _ descriptor: Int32, _ key: String
    ) throws(CommandError) -> (inputs: Set<String>, firstLine: JSONValue?) {
        guard let bytes = FileManager.default.contents(atPath: path) else { return ([], nil) }
        let complete = bytes.lastIndex(of: 0x0A).map { bytes[...$0] } ?? bytes.prefix(0)
        var inputs: Set<String> = []
        var firstLine: JSONValue?
        for line in complete.split(separator: 0x0A) {
            guard let json = try? JSONValue(parsing: Array(line)), let input = json[key]?.string else {
                throw CommandError(.notResults, path)
            }
            inputs.insert(input)
            firstLine = firstLine ?? json
        }
        let lineStart = Array(#"{"\#(key)":"#.utf8)
        let rest = bytes[complete.endIndex...]
        guard rest.starts(with: lineStart.prefix(rest.count)) else { throw CommandError(.notResults, path) }
        if !rest.isEmpty { ftruncate(descriptor, off_t(complete.count)) }
        return (inputs, firstLine)
    }
}
