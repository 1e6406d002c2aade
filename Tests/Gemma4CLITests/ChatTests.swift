import Foundation
import TestSupport
import Testing
import Tokenization

@testable import Gemma4CLI

/// `gemma4 chat`: lines in, answers out, one conversation.
@Suite struct ChatTests {
    private func chat(_ lines: String...) async throws -> Program.Outcome {
        try await Program(
            "chat", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6",
            input: Data(lines.map { "\($0)\n" }.joined().utf8)
        ).run()
    }

    @Test func answersEachLineAndRemembers() async throws {
        let both = try await chat("one", "", "two")
        let first = try await chat("one")
        let alone = try await chat("two")
        #expect(both.status == 0 && both.messages.isEmpty)
        #expect(both.text.hasPrefix(first.text))
        #expect(both.text != first.text + alone.text)  // the first turn is part of the second prompt
    }

    @Test func takesPicturesAndRecordings() async throws {
        let seen = try await chat("/image attachments/wide.png", "What is this?")
        let heard = try await chat("/audio attachments/chirp.wav", "What is this?")
        let blind = try await chat("What is this?")
        let generated = try await Program(
            "generate", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6", "--image",
            "attachments/wide.png",
            "What is this?"
        ).run()
        #expect(seen.text == generated.text)
        #expect(seen.text != blind.text && heard.text != blind.text)
    }

    @Test func aTurnThatFailsIsReportedAndForgotten() async throws {
        let outcome = try await chat("/image nowhere.png", "What is this?", "one")
        #expect(outcome.status == 0)
        #expect(outcome.messages.contains("nowhere.png: expected a readable file, found no such file"))
        #expect(outcome.text == (try await chat("one")).text)
    }

    // MARK: Commands

    /// A turn that is undone leaves no trace in the conversation.
    @Test func turnsAreUndoneRetriedAndEdited() async throws {
        let plain = try await chat("one", "two")
        let (first, second) = (try await chat("one").text, plain.text)
        #expect(try await chat("one", "three", "/undo", "two").text.hasSuffix(second.dropFirst(first.count)))
        // With greedy decoding, a retry gives the same answer.
        #expect(try await chat("one", "/retry").text == first + first)
        #expect(try await chat("three", "/edit one", "two").text.hasSuffix(second))
        let nothing = try await chat("/undo", "/retry", "/edit x")
        #expect(nothing.text.isEmpty && nothing.status == 0)
        #expect(
            nothing.messages
                == "gemma4: nothing to undo\ngemma4: nothing to retry\ngemma4: nothing to edit\n")
    }

    @Test func clearForgetsAllButTheInstruction() async throws {
        let brief = try await chat("/system Be brief.", "one")
        #expect(try await chat("/system Be brief.", "three", "/clear", "one").text.hasSuffix(brief.text))
        #expect(brief.text != (try await chat("one").text))
        let shown = try await chat("/system", "/system Be brief.", "/system")
        #expect(shown.messages == "gemma4: no instruction\ngemma4: Be brief.\n")
    }

    /// A loaded conversation, including images, continues as if it had not been interrupted.
    @Test func conversationsAreSavedAndLoaded() async throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/talk.json"
        let whole = try await chat("/image attachments/wide.png", "one", "/save \(file)", "two")
        #expect(whole.messages == "gemma4: \(file): 2 messages\n")
        let rest = try await chat("/load \(file)", "two")
        // Equal to a conversation given at once.
        var said = try ChatMessage.parse(json: Data(contentsOf: URL(filePath: file)))
        #expect(said.map(\.role) == [.user, .assistant])
        said.append(ChatMessage(.user, "two"))
        let generated = try await Program(
            "generate", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6", "--messages", "-",
            input: try JSONEncoder().encode(said)
        ).run()
        #expect(rest.text == generated.text && !rest.text.isEmpty)
        #expect(rest.text != (try await chat("two").text))
        // The same form as generate --messages.
        let saved = try String(contentsOfFile: file, encoding: .utf8)
        #expect(saved.hasPrefix(#"[{"role": "user", "content": [{"type": "image", "image": "/"#))

        try directory.write(Array("notes\n".utf8), to: "notes.txt")
        let refused = try await chat(
            "/save \(directory.path)/notes.txt", "/load \(directory.path)/notes.txt", "/load nowhere.json", "/save")
        #expect(try String(contentsOfFile: "\(directory.path)/notes.txt", encoding: .utf8) == "notes\n")
        let messages = refused.messages.split(separator: "\n")
        try #require(messages.count == 4 && refused.status == 0)
        #expect(messages[0].contains("expected a prompt cache or a saved conversation, found 6 bytes"))
        #expect(messages[1].contains("notes.txt, line 1, column 1: expected"))
        #expect(messages[2].contains("nowhere.json: cannot be read: no such file"))
        #expect(messages[3] == "gemma4: /save: expected a file, found none")
    }

    @Test func whatIsNoCommandIsSaidSo() async throws {
        let outcome = try await chat("/frobnicate", "/thinking maybe", "/tools", "/exit", "one")
        #expect(outcome.text.isEmpty && outcome.status == 0)
        #expect(
            outcome.messages == """
                gemma4: /frobnicate: no such command; /help lists them, //frobnicate says it
                gemma4: /thinking: expected on, off or a number of tokens, found maybe
                gemma4: no tools; --tools FILE gives some

                """)
        let help = try await chat("/help")
        for command in ChatLine.Command.allCases { #expect(help.messages.contains("/\(command.rawValue) ")) }
    }

    /// Token counts by kind; the second turn prefills only its own tokens.
    @Test func statsShowWhatFillsTheContext() async throws {
        let outcome = try await chat(
            "/stats", "/system Be brief.", "/image attachments/wide.png", "one", "two", "/stats")
        let lines = outcome.messages.split(separator: "\n").map(String.init)
        #expect(lines.first?.wholeMatch(of: /gemma4: context: 0 of \d+ tokens/) != nil)
        let match = try #require(
            lines[1].firstMatch(
                of:
                    /context: (\d+) of \d+ tokens \(\d+ %\): instruction (\d+), you (\d+), answers (\d+), pictures (\d+), marks, calls and tools (\d+)/
            ), "\(outcome.messages)")
        let numbers = try [match.1, match.2, match.3, match.4, match.5, match.6].map { try #require(Int($0)) }
        #expect(numbers[0] == numbers[1...].reduce(0, +) && numbers[4] > 20)
        let last = try #require(
            lines[2].firstMatch(of: /last answer: (\d+) tokens read at .*\/s, (\d+) known from before; 6 written/))
        #expect(try #require(Int(last.1)) < 20)
        #expect(try #require(Int(last.2)) > 40)
    }

    // MARK: The context

    /// Turns are dropped until the rest fits, with a message; or the turn is refused, and the conversation stays
    /// unchanged.
    @Test func aFullContextIsSaidSo() async throws {
        let long = Array(repeating: "What is this", count: 4).joined(separator: " ")
        func chat(_ overflow: String, _ lines: String...) async throws -> Program.Outcome {
            try await Program(
                "chat", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6", "--context", "120",
                "--context-overflow", overflow, input: Data(lines.map { "\($0)\n" }.joined().utf8)
            ).run()
        }
        let stopped = try await chat("stop", long, long, long, long, "/undo", "/stats")
        #expect(stopped.status == 0)
        #expect(stopped.messages.contains("the context: expected at most 120 tokens with room for an answer, found "))
        #expect(stopped.messages.contains("--context-overflow drop-oldest"))
        let dropped = try await chat("drop-oldest", long, long, long, long, "/stats")
        #expect(dropped.messages.contains("the context is full: the oldest turn is dropped, 2 messages; "))
        #expect(dropped.text.split(separator: "\n").count >= 4)
        let used = try #require(dropped.messages.firstMatch(of: /context: (\d+) of 120 tokens/))
        #expect(try #require(Int(used.1)) <= 120)
        // A single message that exceeds the context.
        let huge = Array(repeating: long, count: 10).joined(separator: " ")
        #expect(try await chat("drop-oldest", huge, "one").messages.contains("expected at most 120 tokens"))
    }

    // MARK: Lines

    @Test(arguments: [
        ("", ChatLine.nothing), ("  \n", .nothing), ("one", .text("one")),
        ("/image a b.png ", .command(.image, "a b.png")),
        ("/help", .command(.help, "")), ("/usr/bin is a folder", .text("/usr/bin is a folder")),
        ("//help", .text("/help")), ("/nosuch x", .unknown("nosuch")), ("a\n/help", .text("a\n/help")),
        ("/edit a\nb", .command(.edit, "a\nb")),
    ])
    func linesAreReadAs(line: String, meaning: ChatLine) { #expect(ChatLine(line) == meaning) }

    @Test func commandsAndFilesAreCompleted() throws {
        let directory = try TemporaryDirectory()
        for name in ["a one.png", "a two.png", "b.png", ".hidden"] { try directory.write([], to: name) }
        try FileManager.default.createDirectory(atPath: "\(directory.path)/folder", withIntermediateDirectories: true)
        func completion(_ text: String) -> LineEditor.Completion { ChatLine.completion(of: text) }
        #expect(completion("/he") == .init(text: "lp "))
        #expect(completion("/s") == .init(choices: ["/system", "/save", "/stats"]))
        #expect(completion("/im") == .init(text: "age "))
        #expect(completion("hello") == .init() && completion("/help ") == .init() && completion("/q") == .init())
        #expect(completion("/image \(directory.path)/b") == .init(text: ".png"))
        #expect(completion("/image \(directory.path)/a") == .init(text: " "))
        #expect(completion("/image \(directory.path)/a ") == .init(choices: ["a one.png", "a two.png"]))
        #expect(completion("/image \(directory.path)/f") == .init(text: "older/"))
        #expect(
            completion("/load \(directory.path)/") == .init(choices: ["a one.png", "a two.png", "b.png", "folder/"]))
    }
}

/// Interactive sessions on a terminal.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/setsid"))) struct ChatTerminalTests {
    /// Starts a conversation whose terminal is the one given, as a shell would.
    private func start(_ terminal: Terminal, _ directory: TemporaryDirectory, _ arguments: String...) throws -> Process
    {
        var program = Program(
            "-c", "-w", Program.executable.path, "chat", "--model", Goldens.checkpoint("E2B"), "--threads", "1")
        program.arguments += arguments
        program.executable = URL(filePath: "/usr/bin/setsid")
        program.environment = ["TERM": "xterm", "XDG_STATE_HOME": directory.path, "LC_ALL": "C.UTF-8"]
        let process = program.process()
        let screen = FileHandle(fileDescriptor: terminal.screen)
        (process.standardInput, process.standardOutput, process.standardError) = (screen, screen, screen)
        try process.run()
        return process
    }

    private func end(_ process: Process, _ terminal: Terminal) async throws {
        terminal.type("\u{4}")
        for _ in 0..<60_000 where process.isRunning { try await Task.sleep(for: .milliseconds(10)) }
        if process.isRunning { process.terminate() }
        #expect(process.terminationStatus == 0 && process.terminationReason == .exit)
    }

    @Test func linesAreEditedCompletedAndRemembered() async throws {
        let (terminal, directory) = (try Terminal(), try TemporaryDirectory())
        let process = try start(terminal, directory, "--temperature", "0", "--max-tokens", "4")
        try await terminal.wait(for: "> ")
        // Typed with a mistake, which is corrected; Ctrl-C discards a line.
        terminal.type("/systxx\u{7f}\u{7f}\tBe bri\u{eb}f.\r")
        terminal.type("/clear\u{3}")
        try await terminal.wait(for: "^C")
        terminal.type("/system\r")
        try await terminal.wait(for: "gemma4: Be bri\u{eb}f.")
        // Arrow keys recall the line before the last.
        terminal.type("\u{1b}[A\u{1b}[A\u{1b}OD?\r/system\r")
        try await terminal.wait(for: "gemma4: Be bri\u{eb}f?.")
        try await end(process, terminal)
        let history = try String(contentsOfFile: "\(directory.path)/gemma4/history", encoding: .utf8)
        #expect(history.contains("/system") && !history.contains("/clear"))
        let mode = try FileManager.default.attributesOfItem(atPath: "\(directory.path)/gemma4/history")[
            .posixPermissions]
        #expect(mode as? Int == 0o600)

        let other = try Terminal()
        let second = try start(other, directory, "--temperature", "0", "--max-tokens", "4")
        try await other.wait(for: "> ")
        other.type("\u{1b}[A\u{1b}[A\r/system\r")
        try await other.wait(for: "gemma4: Be bri\u{eb}f?.")
        try await end(second, other)
    }

    /// Pasted lines form one message, without commands or keys.
    @Test func pastedLinesAreOneMessage() async throws {
        let (terminal, directory) = (try Terminal(), try TemporaryDirectory())
        let process = try start(terminal, directory, "--temperature", "0", "--max-tokens", "4")
        try await terminal.wait(for: "\u{1b}[?2004h")
        let file = "\(directory.path)/talk.json"
        terminal.type("\u{1b}[200~one\r/exit\r\u{3}tw\u{f6}\u{1b}[201~\r")
        try await terminal.wait(for: "\u{1b}[?2004h")
        terminal.type("/save \(file)\r")
        try await terminal.wait(for: ": 2 messages")
        try await end(process, terminal)
        let messages = try ChatMessage.parse(json: Data(contentsOf: URL(filePath: file)))
        #expect(messages.first == ChatMessage(.user, "one\n/exit\ntw\u{f6}"))
    }

    /// Ctrl-C cancels the answer; the conversation continues with its partial text.
    @Test func controlCStopsTheAnswerAlone() async throws {
        let (terminal, directory) = (try Terminal(), try TemporaryDirectory())
        let endless = try start(
            terminal, directory, "--max-tokens", "100000", "--no-loop-guard", "--temperature", "1", "--regex",
            "([a-z ]{4000})+")
        try await terminal.wait(for: "\u{1b}[?2004h")
        terminal.type("one\r")
        try await terminal.wait(for: "\u{1b}[?2004l")
        try await terminal.wait(for: "e")
        terminal.type("\u{3}")
        try await terminal.wait(for: "stopped; what was written is kept")
        try await terminal.wait(for: "\u{1b}[?2004h")
        terminal.type("/stats\r")
        try await terminal.wait(for: "answers ")
        try await end(endless, terminal)
    }
}
