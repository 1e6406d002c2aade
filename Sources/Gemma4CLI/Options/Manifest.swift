import Foundation
import JSONText

/// A manifest of inputs: each line is a plain path, or a JSON object with a `path` and an optional `id`. Ignores other
/// members and empty lines. Paths are relative to the manifest's folder, or to the current folder if it is read from
/// standard input.
///
/// Results are named by the id, or by the path without its extension; slashes in either create folders.
enum Manifest {
    /// - Parameter argument: a path, or "-" for standard input.
    /// - Throws: `CommandError` that names the line.
    static func inputs(_ argument: String) throws(CommandError) -> [InputFile] {
        let isStandardInput = argument == StandardInput.argument
        let name = isStandardInput ? StandardInput.name : argument
        let list = SystemPath(argument: argument)
        let bytes =
            isStandardInput ? try StandardInput.readAll() : try MessagesFile.read(URL(filePath: list.openable), name)
        let folder = list.bytes.lastIndex(of: slash).map { Array(list.bytes[...$0]) } ?? []
        var named: [(line: Int, input: InputFile)] = []
        var unnamed: [(line: Int, input: InputFile)] = []
        for (index, line) in bytes.split(separator: newline, omittingEmptySubsequences: false).enumerated() {
            let text = line.last == carriageReturn ? line.dropLast() : line
            guard !text.isEmpty else { continue }
            do throws(Mistake) {
                let (path, id) = try entry(Array(text))
                let place = SystemPath(bytes: path.first == slash ? path : folder + path)
                let key = id ?? SystemPath(bytes: path).text
                let names = key.split(separator: "/").filter { $0 != "." && (id != nil || $0 != "..") }
                guard !names.isEmpty, !names.contains(".."), !key.contains("\0") else {
                    throw Mistake(expected: "the name of a file below the folder of results", found: "“\(key)”")
                }
                let outputName = names.joined(separator: "/")
                if id == nil {
                    unnamed.append(
                        (index + 1, InputFile(place, outputName: InputFile.withoutExtension(outputName), key)))
                } else {
                    named.append((index + 1, InputFile(place, outputName: outputName, key)))
                }
            } catch {
                throw CommandError(
                    .invalidManifest(line: index + 1, expected: error.expected, found: error.found), name)
            }
        }
        let distinct = zip(unnamed.map(\.line), InputFile.withDistinctNames(unnamed.map(\.input)))
        let all = (named + distinct.map { (line: $0, input: $1) }).sorted { $0.line < $1.line }
        guard !all.isEmpty else {
            throw CommandError(.invalidManifest(line: 1, expected: "the path of an input", found: "none"), name)
        }
        var lines: [String: Int] = [:]
        for (line, input) in all {
            if let first = lines.updateValue(line, forKey: input.outputName) {
                throw CommandError(
                    .invalidManifest(
                        line: line, expected: "another id than that of line \(first)",
                        found: "“\(input.outputName)” again"), name)
            }
        }
        return all.map(\.input)
    }

    private struct Mistake: Error {
        let expected, found: String
    }

    private static let (slash, newline, carriageReturn) = (UInt8(ascii: "/"), UInt8(ascii: "\n"), UInt8(ascii: "\r"))

    private static func entry(_ line: [UInt8]) throws(Mistake) -> (path: [UInt8], id: String?) {
        guard line.first == UInt8(ascii: "{") else { return (line, nil) }
        let object: JSONValue
        do { object = try JSONValue(parsing: line) } catch {
            throw Mistake(expected: "an object in JSON, or a path", found: "\(error)")
        }
        guard let path = object["path"]?.string, !path.isEmpty, path != StandardInput.argument else {
            throw Mistake(expected: "“path” with the path of a file", found: object["path"]?.summary ?? "none")
        }
        switch object["id"] {
        case nil, .null: return (Array(path.utf8), nil)
        case .string(let id): return (Array(path.utf8), id)
        case .integer(let id): return (Array(path.utf8), String(id))
        case let other?: throw Mistake(expected: "“id” as a text", found: other.summary)
        }
    }
}
