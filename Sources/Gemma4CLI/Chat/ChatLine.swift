import Foundation

/// The parsed form of an input line in `chat`.
enum ChatLine: Equatable {
    case nothing
    case text(String)
    case command(Command, String)
    /// An unknown command after a slash.
    case unknown(String)

    enum Command: String, CaseIterable {
        case image, audio, video, system, thinking, tools, save, load, undo, retry, edit, stats, clear, help, exit

        /// Name of its argument.
        var argument: String? {
            switch self {
            case .image, .audio, .video, .save, .load: "FILE"
            case .system, .edit: "[TEXT]"
            case .thinking: "on|off|N"
            case .tools, .undo, .retry, .stats, .clear, .help, .exit: nil
            }
        }

        var takesFile: Bool { argument == "FILE" }

        var help: String {
            switch self {
            case .image: "add a picture to what you say next"
            case .audio: "add a recording"
            case .video: "add a film, without its sound"
            case .system: "set the instruction; without text, show it"
            case .thinking: "think before answering, for N tokens at most"
            case .tools: "list the tools that the model may call"
            case .save: "write the conversation to a file"
            case .load: "go on with a conversation from a file"
            case .undo: "forget the last turn"
            case .retry: "answer the last turn once more"
            case .edit: "say the last turn in other words"
            case .stats: "show what fills the context, and how long the answer took"
            case .clear: "forget all but the instruction"
            case .help: "show this list"
            case .exit: "end, as Ctrl-D does"
            }
        }
    }

    init(_ line: String) {
        let trimmed = line.trimmingCharacters(in: .whitespacesAndNewlines)
        guard trimmed.hasPrefix("/") else {
            self = trimmed.isEmpty ? .nothing : .text(line.trimmingCharacters(in: .newlines))
            return
        }
        let words = trimmed.dropFirst().split(maxSplits: 1) { $0 == " " || $0 == "\n" }
        let name = words.first.map(String.init) ?? ""
        let argument = words.count > 1 ? words[1].trimmingCharacters(in: .whitespaces) : ""
        if let command = Command(rawValue: name) {
            self = .command(command, argument)
        } else if name.allSatisfy({ $0.isASCII && $0.isLetter }) {
            self = .unknown(name)
        } else {
            self = .text(trimmed.hasPrefix("//") ? String(trimmed.dropFirst()) : trimmed)  // for example a path
        }
    }

    static var help: String {
        let rows = Command.allCases.map { ("/\($0.rawValue) \($0.argument ?? "")", $0.help) }
        return rows.map { $0.padding(toLength: 18, withPad: " ", startingAt: 0) + $1 }.joined(separator: "\n")
            + "\nOther lines are said. Alt-Enter begins a new line; Ctrl-C stops an answer; // says a line that begins with /."
    }

    // MARK: Completion

    /// Completion of the text before the cursor: command names, then file names.
    static func completion(of text: String) -> LineEditor.Completion {
        guard text.hasPrefix("/"), !text.contains("\n") else { return .init() }
        guard let space = text.firstIndex(of: " ") else {
            return completion(of: String(text.dropFirst()), Command.allCases.map { ($0.rawValue, " ") }, prefix: "/")
        }
        guard Command(rawValue: String(text[text.index(after: text.startIndex)..<space]))?.takesFile == true else {
            return .init()
        }
        let path = text[space...].drop { $0 == " " }
        let name = path.lastIndex(of: "/").map { path[path.index(after: $0)...] } ?? path
        let folder = String(path.dropLast(name.count))
        let listed = (try? FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? "." : folder.atHome)) ?? []
        let files = listed.filter { !$0.hasPrefix(".") || name.hasPrefix(".") }.sorted().map { file in
            var isFolder: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: folder.atHome + file, isDirectory: &isFolder)
            return (file, isFolder.boolValue ? "/" : "")
        }
        return completion(of: String(name), files)
    }

    /// - Parameters:
    ///   - choices: names with the text that follows each once it is unambiguous.
    ///   - prefix: prepended to the listed names.
    private static func completion(
        of start: String, _ choices: [(name: String, end: String)], prefix: String = ""
    ) -> LineEditor.Completion {
        let fitting = choices.filter { $0.name.hasPrefix(start) }
        if fitting.count == 1 { return .init(text: fitting[0].name.dropFirst(start.count) + fitting[0].end) }
        guard let first = fitting.first else { return .init() }
        let shared = fitting.dropFirst().reduce(first.name) { $0.commonPrefix(with: $1.name) }
        if shared.count > start.count { return .init(text: String(shared.dropFirst(start.count))) }
        return .init(choices: fitting.map { prefix + $0.name + ($0.end == "/" ? "/" : "") })
    }
}

extension String {
    /// This path with a leading `~` expanded, and without the quotes or backslashes that terminals add to a dragged
    /// file name.
    var asFile: String {
        var path = self
        if path.count > 1, let quote = path.first, quote == "'" || quote == "\"", path.last == quote {
            path = String(path.dropFirst().dropLast())
        } else if !FileManager.default.fileExists(atPath: path.atHome) {
            path = path.replacing("\\ ", with: " ")
        }
        return path.atHome
    }

    fileprivate var atHome: String {
        self == "~" || hasPrefix("~/") ? NSHomeDirectory() + dropFirst() : self
    }
}
