import Gemma4Kit
import Synchronization

/// A line on standard error that says how far the work is. Shown only to a person, on a terminal, until something else
/// is to be shown there.
final class ProgressLine: Sendable {
    private static let width = 24
    static let eraseLine = "\r\u{1b}[K"

    private let title: String
    private let isOpen: Mutex<Bool>
    /// Nothing is shown before this comes.
    private let turn: Turn?

    /// - Parameter title: what is being read.
    init(_ title: String, _ turn: Turn? = nil) {
        self.title = title.displayed
        self.turn = turn
        isOpen = Mutex(ByteSink.standardError.erasesLines)
    }

    /// The same for one of several files.
    convenience init(_ file: String, _ index: Int, of count: Int, _ turn: Turn) {
        self.init(count > 1 ? "\(file) (\(index + 1) of \(count))" : file, turn)
    }

    /// Says that the work has begun.
    func begin() { show("…") }

    /// Shows a bar: so many tokens of the prompt have been read.
    func show(read: Int, of total: Int) {
        let filled = total > 0 ? Self.width * read / total : 0
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: Self.width - filled)
        show("\(bar) \(read) of \(total) tokens")
    }

    /// Shows how much is done, 0 to 1.
    func show(share: Double) { show("\(Int(100 * share)) %") }

    /// Says how many tokens of the answer there are, where the answer itself is not seen coming.
    func show(written: Int) { show("\(written) tokens written") }

    /// Says which second of a recording is being heard.
    func show(second: Double, of length: Double?) {
        func clock(_ seconds: Double) -> String {
            let seconds = Int(seconds)
            return [seconds / 3600, seconds / 60 % 60, seconds % 60].map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(
                separator: ":")
        }
        show("at \(clock(second))" + (length.map { " of \(clock($0))" } ?? ""))
    }

    /// Takes the line away until something is shown again.
    func erase() {
        isOpen.withLock { if $0, isItsTurn { try? ByteSink.standardError.write(Self.eraseLine) } }
    }

    /// Takes the line away for good.
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

    /// What fits into a line of the terminal, since one that goes on in the next is not erased: the end of the title, which
    /// names the file, and the state. The last column stays free; terminals differ in what follows it.
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

    /// In columns, at most: Chinese characters and signs like emoji take two.
    private static func width(_ character: Character) -> Int { character.unicodeScalars.first! < "\u{1100}" ? 1 : 2 }
}
