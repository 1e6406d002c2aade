import Foundation
import TestSupport
import Testing

/// The progress line on a terminal.
@Suite struct ProgressLineTests {
    private static let eraseLine = "\r\u{1B}[K"

    /// The terminal output of `caption` for an image with this name, in `columns` columns.
    private func messages(_ name: String, columns: UInt16, term: String = "xterm") async throws -> String {
        let directory = try TemporaryDirectory()
        try directory.write(Data(contentsOf: Goldens.folder.appending(path: "attachments/wide.png")), to: name)
        let terminal = try Terminal(columns: columns)
        var program = Program(
            "caption", "--model", Goldens.checkpoint("E2B"), "--max-tokens", "2", "--threads", "1", name)
        program.directory = directory.path
        program.environment = ["TERM": term]
        let process = program.process()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle(fileDescriptor: terminal.screen)
        try await process.runToEnd()
        #expect(process.terminationStatus == 0)
        return terminal.readAll()
    }

    private static let longName = String(repeating: "long ", count: 30) + "name.png"

    @Test(arguments: [(columns: 40, shown: "name.png"), (columns: 0, shown: "long long long name.png")])
    func theLineIsNoWiderThanTheTerminal(terminal: (columns: Int, shown: String)) async throws {
        let text = try await messages(Self.longName, columns: UInt16(terminal.columns))
        let all = text.components(separatedBy: Self.eraseLine).filter { !$0.hasPrefix("gemma4: ") }
        #expect(all.allSatisfy { $0.count < (terminal.columns == 0 ? 80 : terminal.columns) }, "\(all)")
        let lines = all.filter { $0.hasPrefix("…") }
        #expect(!lines.isEmpty, "\(text)")
        #expect(lines.allSatisfy { $0.contains(terminal.shown) }, "\(lines)")
    }

    @Test func charactersOfTwoColumnsCountTwice() async throws {
        let text = try await messages(String(repeating: "東京", count: 30) + ".png", columns: 40)
        let lines = text.components(separatedBy: Self.eraseLine).filter { $0.hasPrefix("…") }
        #expect(!lines.isEmpty && lines.allSatisfy { $0.contains("京.png") }, "\(text)")
        #expect(lines.allSatisfy { $0.count + $0.count { "東京".contains($0) } < 40 }, "\(lines)")
    }

    @Test func aShortTitleIsShownWhole() async throws {
        #expect(try await messages("a.png", columns: 100).contains("\(Self.eraseLine)a.png "))
    }

    @Test func aTerminalThatErasesNoLinesIsShownNothing() async throws {
        let text = try await messages("a.png", columns: 40, term: "dumb")
        #expect(!text.contains("\u{1B}") && !text.contains("…"), "\(text)")
    }
}
