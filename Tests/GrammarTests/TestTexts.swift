import Foundation
import JSONText
import Tokenization

@testable import Grammar

/// A vocabulary of 256 tokens, one for each byte.
let byteTree = TokenTree(count: 256) { id, buffer in buffer.append(UInt8(id)) }

extension Grammar {
    /// Whether the grammar accepts a text as a whole answer.
    func accepts(_ text: String) -> Bool {
        var state = GrammarMatcher(self, byteTree).start
        return state.advance(Array(text.utf8)) && state.isAccepting
    }
}

/// A file of `Tests/Goldens`, unpacked.
func golden(_ path: String) throws -> Data {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../Goldens/\(path)")
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["gzip", "-dc", file.path]
    process.standardOutput = output
    try process.run()
    let data = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return data
}

/// Schemas with instances, as `make_schema_goldens.py` writes them.
struct JudgedSchema {
    let file, description: String
    let schema: JSONValue
    let instances: [(description: String, value: JSONValue, isValid: Bool)]

    static func read(_ name: String) throws -> [JudgedSchema] {
        guard case .array(let groups) = try JSONValue(parsing: Array(golden("schema/\(name).json.gz"))) else {
            return []
        }
        return groups.compactMap { group in
            guard case .array(let parts) = group, case .array(let tests) = parts[3] else { return nil }
            return JudgedSchema(
                file: parts[0].string!, description: parts[1].string!, schema: parts[2],
                instances: tests.map { test in
                    guard case .array(let test) = test else { preconditionFailure() }
                    return (test[0].string!, test[1], test[2] == .boolean(true))
                })
        }
    }
}

extension JSONValue {
    /// The JSON texts of this value that differ only in the order of members, at most `limit` of them: numbers without
    /// exponents, strings with minimal escapes, separated by `", "` and `": "`.
    func spellings(limit: Int = 5000) -> [String] {
        switch self {
        case .array(let values):
            let inner = Self.combinations(values.map { $0.spellings(limit: limit) }, limit)
            return inner.map { "[" + $0.joined(separator: ", ") + "]" }
        case .object(let members):
            let inner = members.map { member in
                member.value.spellings(limit: limit).map {
                    String(decoding: ValueSpelling.json.quoted(member.key), as: UTF8.self) + ": " + $0
                }
            }
            return Self.permutations(inner, limit).flatMap { Self.combinations($0, limit) }.prefix(limit).map {
                "{" + $0.joined(separator: ", ") + "}"
            }
        case .string(let text): return [String(decoding: ValueSpelling.json.quoted(text), as: UTF8.self)]
        case .null, .boolean: return [json]
        case .integer, .largeInteger, .number:
            let number = DecimalNumber(self)!
            func digits(_ values: [UInt8]) -> String { values.map(String.init).joined() }
            let fraction = number.fraction.isEmpty ? "" : "." + digits(number.fraction)
            return [(number.isNegative && !number.isZero ? "-" : "") + digits(number.integer) + fraction]
        }
    }

    private static func combinations(_ choices: [[String]], _ limit: Int) -> [[String]] {
        choices.reduce([[]]) { heads, next in
            Array(heads.lazy.flatMap { head in next.lazy.map { head + [$0] } }.prefix(limit))
        }
    }

    private static func permutations(_ items: [[String]], _ limit: Int) -> [[[String]]] {
        guard items.count > 1 else { return [items] }
        var all: [[[String]]] = []
        for index in items.indices where all.count < limit {
            var rest = items
            let first = rest.remove(at: index)
            all += permutations(rest, limit).map { [first] + $0 }
        }
        return all
    }
}
