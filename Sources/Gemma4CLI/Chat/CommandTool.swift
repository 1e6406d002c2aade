import Foundation
import Gemma4Kit
import JSONText

/// A tool that runs a program on this machine: OpenAI's function declaration plus `command`, a list of the program and
/// its arguments, which are passed without a shell.
///
/// `{name}` in an argument is replaced by the value of that parameter; an argument that consists only of a placeholder
/// without a value is omitted. All values are also written to the program's standard input, as one JSON object. Its
/// standard output is the result.
struct CommandTool: Sendable {
    let name: String
    /// Its declaration for the prompt.
    let declaration: JSONValue
    private let command: [String]
    private let timeout: Double

    /// - Parameter areRun: whether each tool must have a `command`; without one it can only be declared.
    /// - Throws: `CommandError` naming the place of an invalid entry.
    static func read(_ file: String, areRun: Bool = true) throws(CommandError) -> [CommandTool] {
        let value: JSONValue
        let bytes = try MessagesFile.read(URL(filePath: file), file)
        do throws(JSONValue.SyntaxError) { value = try JSONValue(parsing: Array(bytes)) } catch {
            throw CommandError(.notJSON(error), file)
        }
        guard case .array(let entries) = value["tools"] ?? value, !entries.isEmpty else {
            throw CommandError(
                .invalidTools(place: "the file", expected: "a list of tools", found: value.summary), file)
        }
        var tools: [CommandTool] = []
        for (index, entry) in entries.enumerated() {
            let tool = try CommandTool(entry, "[\(index)]", file, isRun: areRun)
            guard !tools.contains(where: { $0.name == tool.name }) else {
                throw CommandError(
                    .invalidTools(
                        place: "[\(index)].function.name", expected: "another name than every earlier tool",
                        found: "\"\(tool.name)\""), file)
            }
            tools.append(tool)
        }
        return tools
    }

    private init(_ entry: JSONValue, _ place: String, _ file: String, isRun: Bool) throws(CommandError) {
        func error(_ key: String, _ expected: String, _ found: JSONValue?) -> CommandError {
            CommandError(
                .invalidTools(place: place + key, expected: expected, found: found?.summary ?? "nothing"), file)
        }
        guard case .object(let members) = entry else { throw error("", "an object", entry) }
        for member in members where !["type", "function", "command", "timeout"].contains(member.key) {
            throw error(".\(member.key)", "no such key", member.value)
        }
        guard let name = entry["function"]?["name"]?.string, !name.isEmpty else {
            throw error(".function.name", "a name", entry["function"]?["name"])
        }
        guard case .array(let words) = entry["command"] ?? (isRun ? .null : []), !words.isEmpty || !isRun else {
            throw error(".command", #"a list of a program and its arguments, ["date", "+%F"]"#, entry["command"])
        }
        var command: [String] = []
        for (index, word) in words.enumerated() {
            guard let text = word.string, index > 0 || !text.isEmpty, !text.utf8.contains(0) else {
                throw error(".command[\(index)]", "a string", word)
            }
            command.append(text)
        }
        switch entry["timeout"] {
        case nil: timeout = 30
        case .integer(let seconds)? where (1...86_400).contains(seconds): timeout = Double(seconds)
        case let other: throw error(".timeout", "seconds, 1 to 86400", other)
        }
        (self.name, self.command) = (name, command)
        declaration = ["type": "function", "function": entry["function"]!]
        // Checked before a model is loaded.
        do {
            try AnswerFormat.schema(entry["function"]?["parameters"] ?? ["type": "object"])
                .check(named: "\(file), \(place).function.parameters")
        } catch let problem {
            throw CommandError(.invalidToolSchema("\(problem)"), file)
        }
    }

    /// The program and its arguments as written in the file.
    var usage: String { command.joined(separator: " ") }

    /// The program and its arguments for a call.
    func words(_ arguments: JSONValue) -> [String] {
        command.enumerated().compactMap { index, word in
            if index > 0, word.hasPrefix("{"), word.hasSuffix("}"),
                isParameter(String(word.dropFirst().dropLast())), arguments[String(word.dropFirst().dropLast())] == nil
            {
                return nil
            }
            return filled(word, arguments)
        }
    }

    private func isParameter(_ name: String) -> Bool {
        declaration["function"]?["parameters"]?["properties"]?[name] != nil
    }

    /// Replaces placeholders in one pass: placeholders inside values are not replaced.
    private func filled(_ word: String, _ arguments: JSONValue) -> String {
        var text = ""
        var rest = word[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            let name = String(rest[rest.index(after: open)..<close])
            guard isParameter(name) else {
                text += rest[...open]
                rest = rest[rest.index(after: open)...]
                continue
            }
            text += rest[..<open]
            if let value = arguments[name] { text += value.string ?? value.json }
            rest = rest[rest.index(after: close)...]
        }
        return text + rest
    }

    /// Runs the program.
    ///
    /// - Returns: the result for the model.
    func run(_ arguments: JSONValue, stopping stop: ProgramRun.Stop) async -> String {
        let words = words(arguments)
        guard !words.contains(where: { $0.utf8.contains(0) }) else { return "error: an argument holds a zero byte" }
        let input = (arguments == .null ? .object([]) : arguments).json + "\n"
        let timeout = timeout
        return await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(
                    returning: ProgramRun.result(of: words, input: Array(input.utf8), seconds: timeout, stop: stop))
            }
        }
    }
}
