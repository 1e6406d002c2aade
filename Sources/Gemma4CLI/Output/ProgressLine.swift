import Gemma4Kit
import Synchronization

/// A progress line on standard error. Shown only on a terminal, until other output appears there.
final class ProgressLine: Sendable {
    private static let width = 24
    static let eraseLine = "\r\u{1b}[K"

    private let title: String
    private let isOpen: Mutex<Bool>
    /// Nothing is shown before this turn begins.
    private let turn: Turn?

    /// - Parameter title: the file or step that is in progress.
    init(_ title: String, _ turn: Turn? = nil) {
        self.title = title.displayed
        self.turn = turn
        isOpen = Mutex(ByteSink.standardError.erasesLines)
    }

    /// A progress line for one of several files.
    convenience init(_ file: String, _ index: Int, of count: Int, _ turn: Turn) {
        self.init(count > 1 ? "\(file) (\(index + 1) of \(count))" : file, turn)
    }

    /// Shows that the work has begun.
    func begin() { show("…") }

    /// Shows a bar for the prompt tokens that were prefilled.
    func show(read: Int, of total: Int) {
        let filled = total > 0 ? Self.width * read / total : 0
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: Self.width - filled)
        show("\(bar) \(read) of \(total) tokens")
    }

    /// Shows a fraction, 0 to 1.
    func show(share: Double) { show("\(Int(100 * share)) %") }

    /// Shows the number of generated tokens, if the answer itself is not streamed.
    func show(written: Int) { show("\(written) tokens written") }

    /// Shows the position in a recording, in seconds.
    func show(second: Double, of length: Double?) {
        func clock(_ seconds: Double) -> String {
            let seconds = Int(seconds)
            return [seconds / 3600, seconds / 60 % 60, seconds % 60].map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(
                separator: ":")
        }
        show("at \(clock(second))" + (length.map { " of \(clock($0))" } ?? ""))
    }

    /// Erases the line until something is shown again.
    func erase() {
        isOpen.withLock { if $0, isItsTurn { try? ByteSink.standardError.write(Self.eraseLine) } }
    }

    /// Erases the line permanently.
    func end() {
        isOpen.withLock { isOpen in
            if isOpen, isItsTurn { try? ByteSink.standardError.write(Self.eraseLine) }
            isOpen = false
        }
    }

    private var isItsTurn: Bool { turn?.isOpen ?? true }

    private func show(_ state: String) {
        isOpen.withLock { isOpen in
            guard isOpen, isItsTurn else { return }
            let line = Self.line(title, state, columns: ByteSink.standardError.columns)
            try? ByteSink.standardError.write("\(Self.eraseLine)\(line)")
        }
    }

    /// Truncates the line to the terminal's width, because a wrapped line cannot be erased: keeps the end of the title,
    /// which names the file, and the state. The last column stays free, because terminals wrap differently after it.
    private static func line(_ title: String, _ state: String, columns: Int) -> String {
        let free = columns - 1 - state.count - 1
        if title.reduce(0, { $0 + width($1) }) <= free { return "\(title) \(state)" }
        guard free > 1 else { return String(state.prefix(columns - 1)) }
        var (end, rest) = (title.endIndex, free - 1)
        while end > title.startIndex {
            let before = title.index(before: end)
            rest -= width(title[before])
            if rest < 0 { break }
            end = before
        }
        return "…\(title[end...]) \(state)"
    }

    /// Maximum width in columns: Chinese characters and symbols such as emoji take two.
    private static func width(_ character: Character) -> Int { character.unicodeScalars.first! < "\u{1100}" ? 1 : 2 }
}
