import CEdit
import Foundation

/// An interactive line editor: history, completion, multi-line paste.
///
/// Displays on standard error, so that standard output holds only answers. Single-threaded.
final class LineEditor {
    enum Input: Equatable {
        case line(String)
        /// Ctrl-C: the line is discarded.
        case interrupted
        /// Ctrl-D on an empty line, or a closed terminal.
        case end
    }

    /// Completion of the text before the cursor.
    struct Completion: Equatable {
        /// Text inserted at the cursor.
        var text = ""
        /// The candidates if the completion is ambiguous.
        var choices: [String] = []
    }

    private let editor: OpaquePointer
    private let entries: OpaquePointer
    private let historyFile: String?
    private let complete: (String) -> Completion
    private var isInterrupted = false
    /// Initial text of the next line.
    private var draft: String?

    private var prompt = strdup("")
    /// An escape sequence that no key sends: inserts the draft into the line.
    private static let draftKey = "\u{1b}[2999~"

    /// - Parameters:
    ///   - historyFile: stores the history between runs; nil: not stored.
    ///   - complete: called with the text before the cursor.
    /// - Returns: nil if standard input or standard error is not a capable terminal.
    init?(historyFile: String?, completing complete: @escaping (String) -> Completion) {
        guard isatty(STDIN_FILENO) == 1, ByteSink.standardError.erasesLines else { return nil }
        Self.readUTF8()
        guard let editor = edit_open(), let entries = history_init() else { return nil }
        (self.editor, self.entries, self.historyFile, self.complete) = (editor, entries, historyFile, complete)
        edit_set_owner(editor, Unmanaged.passUnretained(self).toOpaque())
        edit_set_prompt(editor) { LineEditor.of($0).prompt }
        edit_set_style(editor, "emacs")
        history_set_size(entries, 1000)
        edit_use_history(editor, entries)
        if let historyFile { _ = history_load(entries, historyFile) }
        el_source(editor, nil)
        // Ctrl-C and Ctrl-Z are ordinary keys while a line is edited.
        edit_set_mode(editor, "-isig")
        edit_bind(editor, "gemma4-interrupt", "^C") { editor, _ in LineEditor.of(editor).interrupt() }
        edit_bind(editor, "gemma4-suspend", "^Z") { editor, _ in LineEditor.of(editor).suspend() }
        edit_bind(editor, "gemma4-complete", "^I") { editor, _ in LineEditor.of(editor).completeLine() }
        edit_bind(editor, "gemma4-paste", "\\e[200~") { editor, _ in LineEditor.of(editor).paste() }
        for key in ["\\e\\r", "\\e\\n"] {
            edit_bind(editor, "gemma4-newline", key) { editor, _ in LineEditor.of(editor).insert("\n") }
        }
        edit_bind(editor, "gemma4-draft", "\\e[2999~") { editor, _ in LineEditor.of(editor).insertDraft() }
    }

    deinit {
        el_end(editor)
        history_end(entries)
        free(prompt)
    }

    /// libedit decodes input according to the locale.
    private static func readUTF8() {
        setlocale(LC_CTYPE, "")
        if String(cString: nl_langinfo(nl_item(CODESET))) != "UTF-8" { setlocale(LC_CTYPE, "C.UTF-8") }
    }

    /// Reads the next input, which may have several lines.
    ///
    /// - Parameters:
    ///   - prompt: the prompt before the input.
    ///   - draft: the initial text.
    func read(prompt: String = "> ", beginningWith draft: String? = nil) -> Input {
        free(self.prompt)
        self.prompt = strdup(prompt)
        self.draft = draft
        isInterrupted = false
        if draft != nil { el_push(editor, Self.draftKey) }
        el_resize(editor)
        show("\u{1b}[?2004h")
        defer { show("\u{1b}[?2004l") }
        var count: Int32 = 0
        guard let text = el_gets(editor, &count), count > 0 else { return .end }
        if isInterrupted { return .interrupted }
        var line = String(cString: text)
        if line.last == "\n" { line.removeLast() }
        return .line(line)
    }

    /// Adds a line to the history.
    func remember(_ line: String) {
        history_enter(entries, line)
        guard let historyFile else { return }
        let folder = URL(filePath: historyFile).deletingLastPathComponent()
        try? FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        _ = history_save(entries, historyFile)
    }

    // MARK: Keys

    private static func of(_ editor: OpaquePointer?) -> LineEditor {
        Unmanaged<LineEditor>.fromOpaque(edit_owner(editor)!).takeUnretainedValue()
    }

    private func interrupt() -> UInt8 {
        isInterrupted = true
        show("^C\n")
        return UInt8(CC_NEWLINE)
    }

    private func suspend() -> UInt8 {
        edit_prepare_terminal(editor, 0)
        raise(SIGTSTP)
        edit_prepare_terminal(editor, 1)
        return UInt8(CC_REDISPLAY)
    }

    private func insert(_ text: String) -> UInt8 {
        let scalars = text.unicodeScalars.map { wchar_t($0.value) } + [0]
        return UInt8(el_winsertstr(editor, scalars) == 0 ? CC_REFRESH : CC_ERROR)
    }

    private func insertDraft() -> UInt8 {
        defer { draft = nil }
        return insert(draft ?? "")
    }

    /// Bracketed paste: everything between the two marks is text, including line ends.
    private func paste() -> UInt8 {
        let end = Array("\u{1b}[201~".unicodeScalars)
        var scalars: [Unicode.Scalar] = []
        while !scalars.ends(with: end) {
            var character: wchar_t = 0
            guard el_wgetc(editor, &character) == 1 else { return UInt8(CC_EOF) }
            scalars.append(Unicode.Scalar(UInt32(bitPattern: character)) ?? "\u{fffd}")
        }
        var text = ""
        for scalar in scalars.dropLast(end.count) {
            // Other control characters would be interpreted by the terminal when the line is displayed.
            switch scalar {
            case "\r": text.unicodeScalars.append("\n")
            case "\n" where text.unicodeScalars.last == "\n" && scalars.contains("\r"): break
            case "\n", "\t": text.unicodeScalars.append(scalar)
            case _ where scalar.properties.generalCategory == .control: break
            default: text.unicodeScalars.append(scalar)
            }
        }
        return insert(text)
    }

    private func completeLine() -> UInt8 {
        guard let line = el_line(editor)?.pointee, let start = line.buffer, let cursor = line.cursor else {
            return UInt8(CC_ERROR)
        }
        let bytes = UnsafeRawBufferPointer(start: start, count: cursor - start)
        let completion = complete(String(decoding: bytes, as: UTF8.self))
        if !completion.text.isEmpty { return insert(completion.text) }
        guard !completion.choices.isEmpty else { return UInt8(CC_ERROR) }
        show("\n\(completion.choices.joined(separator: "  "))\n")
        return UInt8(CC_REDISPLAY)
    }

    private func show(_ text: String) { try? ByteSink.standardError.write(text) }
}

extension Array where Element: Equatable {
    fileprivate func ends(with other: [Element]) -> Bool { suffix(other.count).elementsEqual(other) }
}
