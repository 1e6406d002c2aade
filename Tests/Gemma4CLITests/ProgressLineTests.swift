import Foundation
import TestSupport
import Testing

/// What is shown of the progress on a terminal.
@Suite struct ProgressLineTests {
    private static let eraseLine = "\r\u{1B}[K"

    /// What reads from a terminal, and what writes to it. Swift does not import what POSIX has for this from Glibc.
    private static func openTerminal() throws -> (terminal: Int32, screen: Int32) {
        #if os(Linux)
            let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY)
            var (isLocked, number): (Int32, Int32) = (0, 0)
            try #require(ioctl(terminal, 0x4004_5431, &isLocked) == 0)  // TIOCSPTLCK
            try #require(ioctl(terminal, 0x8004_5430, &number) == 0)  // TIOCGPTN
            let screen = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY)
        #else
            let terminal = posix_openpt(O_RDWR | O_NOCTTY)
            try #require(grantpt(terminal) == 0 && unlockpt(terminal) == 0)
            let screen = open(String(cString: ptsname(terminal)), O_RDWR | O_NOCTTY)
        #endif
        try #require(terminal >= 0 && screen >= 0)
        return (terminal, screen)
    }

    /// What `caption` of a picture with this name writes to a terminal of so many columns.
    private func messages(_ name: String, columns: UInt16, term: String = "xterm") async throws -> String {
        let directory = try TemporaryDirectory()
        try directory.write(Data(contentsOf: Goldens.folder.appending(path: "attachments/wide.png")), to: name)
        let (terminal, screen) = try Self.openTerminal()
        defer { close(terminal) }
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try #require(ioctl(screen, UInt(TIOCSWINSZ), &size) == 0)
        var program = Program(
            "caption", "--model", Goldens.checkpoint("E2B"), "--max-tokens", "2", "--threads", "1", name)
        program.directory = directory.path
        program.environment = ["TERM": term]
        let process = program.process()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle(fileDescriptor: screen)
        try await process.runToEnd()
        #expect(process.terminationStatus == 0)
        // What has been written stays readable until the last one who may write is gone, and after.
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        var text: [UInt8] = []
        var state = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
        while poll(&state, 1, 100) > 0 {
            let count = read(terminal, &bytes, bytes.count)
            guard count > 0 else { break }
            text += bytes[..<count]
        }
        close(screen)
        return String(decoding: text, as: UTF8.self)
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
