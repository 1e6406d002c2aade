import Foundation
import Gemma4Kit
import Generation
import JSONText
import TestSupport
import Testing
import Tokenization

@testable import Gemma4CLI

/// Programs as tools.
@Suite struct ChatToolTests {
    private func tools(_ json: String) throws -> [CommandTool] {
        let directory = try TemporaryDirectory()
        return try CommandTool.read(directory.write(Array(json.utf8), to: "tools.json"))
    }

    private static func tool(_ command: String, timeout: Int = 5) -> String {
        """
        {"type": "function", "timeout": \(timeout), "command": \(command), "function": {"name": "say", "description": "d",
         "parameters": {"type": "object", "properties": {"text": {"type": "string", "maxLength": 4}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
         "required": ["text"]}}}
        """
    }

    /// Placeholders are replaced once; each value stays a single argument.
    @Test func argumentsAreFilledIn() throws {
        let tool = try tools(
            "[\(Self.tool(#"["echo", "{text}", "--n={count}", "{count}", "{other}", "a{text}b{text}"]"#))]")[0]
        #expect(
            tool.words(["text": "x; ls $HOME {count}", "count": 3]) == [
                "echo", "x; ls $HOME {count}", "--n=3", "3", "{other}", "ax; ls $HOME {count}bx; ls $HOME {count}",
            ])
        #expect(tool.words(["text": ""]) == ["echo", "", "--n=", "{other}", "ab"])
    }

    @Test func programsRunWithoutAShell() async throws {
        func result(_ command: String, _ arguments: JSONValue = ["text": "a  b; $(id)"], timeout: Int = 5) async throws
            -> String
        {
            try await tools("[\(Self.tool(command, timeout: timeout))]")[0].run(arguments, stopping: .init())
        }
        #expect(try await result(#"["printf", "%s|", "{text}", "*"]"#) == "a  b; $(id)|*|")
        #expect(try await result(#"["cat"]"#, ["text": "x", "count": 2]) == #"{"text": "x", "count": 2}"#)
        #expect(
            try await result(#"["sh", "-c", "echo out; echo no >&2; exit 3"]"#)
                == "error: sh ended with code 3\nno\nout")
        #expect(try await result(#"["sh", "-c", "kill -9 $$"]"#) == "error: sh ended with signal 9\n")
        #expect(
            try await result(#"["no-such-program"]"#)
                == "error: no-such-program cannot be started: No such file or directory")
        let long = try await result(#"["head", "-c", "100000", "/dev/zero"]"#)
        #expect(long.utf8.count < 33_000 && long.hasSuffix("[cut after 32768 bytes]"))
        #expect(try await result(#"["cat"]"#, ["text": "a\u{0}b"]).contains("a"), "only words hold no zero bytes")
        #expect(try await result(#"["echo", "{text}"]"#, ["text": "a\u{0}b"]) == "error: an argument holds a zero byte")
    }

    /// Programs that never end, write endlessly or leave children behind are stopped in time.
    @Test(arguments: [#"["sleep", "3600"]"#, #"["yes"]"#, #"["sh", "-c", "sleep 3600 & sleep 3600"]"#])
    func timeIsBounded(command: String) async throws {
        let tool = try tools("[\(Self.tool(command, timeout: 1))]")[0]
        var result = ""
        let seconds = await ContinuousClock().measure { result = await tool.run(["text": "x"], stopping: .init()) }
        #expect(result == "error: no end after 1 s" && seconds < .seconds(1800))
        let stop = ProgramRun.Stop()
        stop.set()
        #expect(
            try await tools("[\(Self.tool(command))]")[0].run(["text": "x"], stopping: stop)
                == "error: stopped by the user")
    }

    @Test(arguments: [
        ("{}", "the file: expected a list of tools, found an object"), ("[]", "the file: expected a list of tools"),
        ("[3]", "[0]: expected an object, found 3"),
        (#"[{"function": {"name": "f"}}]"#, "[0].command: expected a list of a program and its arguments"),
        (
            #"[{"function": {"name": "f"}, "command": "ls -l"}]"#,
            #"[0].command: expected a list of a program and its arguments, ["date", "+%F"], found "ls -l""#
        ),
        (#"[{"function": {"name": "f"}, "command": ["ls", 3]}]"#, "[0].command[1]: expected a string, found 3"),
        (#"[{"function": {}, "command": ["ls"]}]"#, "[0].function.name: expected a name, found nothing"),
        (#"[{"function": {"name": "f"}, "command": ["ls"], "shell": true}]"#, "[0].shell: expected no such key"),
        (
            #"[{"function": {"name": "f"}, "command": ["ls"], "timeout": 0}]"#,
            "[0].timeout: expected seconds, 1 to 86400, found 0"
        ),
        (
            #"[{"function": {"name": "f"}, "command": ["ls"]}, {"function": {"name": "f"}, "command": ["ls"]}]"#,
            "[1].function.name: expected another name"
        ),
        (
            #"[{"function": {"name": "f", "parameters": {"unevaluatedProperties": false}}, "command": ["ls"]}]"#,
            "[0].function.parameters"
        ),
        ("[", "tools.json, line 1, column 2"),
    ])
    func whatIsNoToolIsRefused(json: String, message: String) async throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(Array(json.utf8), to: "tools.json")
        let outcome = try await Program("chat", "--model", "E2B/checkpoint", "--tools", file).run()
        #expect(outcome.status == 65 && outcome.messages.contains(message), "\(outcome.status) \(outcome.messages)")
    }

    // MARK: In a conversation

    /// A session whose model is forced to call, because nets with random weights do not.
    private func session(
        _ command: String, allows: (() -> Bool)?
    ) throws -> ChatSession {
        let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
        var sampling = SamplingOptions(temperature: 1, seed: 3)
        sampling.logitBias = [try #require(pipeline.tokenizer.specialTokens["<|tool_call>"]): 1000]
        return ChatSession(
            pipeline, [], prompt: PromptOptions(), thinkingBudget: nil,
            .init(
                tools: try tools("[\(Self.tool(command))]"), contextLimit: 8192,
                generation: { [sampling] _ in
                    var options = GenerationOptions(sampling: sampling, maxTokens: 60)
                    options.parallelToolCalls = false
                    return options
                },
                printer: AnswerPrinter(format: .text, output: nil, showsToolCalls: false, warnsOfLength: false),
                allows: allows))
    }

    /// Ten rounds of calls, then an answer.
    @Test func callsAreRunUntilTheModelMustAnswer() async throws {
        var asked = 0
        var session = try session(#"["echo", "said", "{text}"]"#) {
            asked += 1
            return true
        }
        try await session.say("Speak!")
        let messages = session.messages
        #expect(asked == 10 && messages.last?.toolCalls == [])
        try #require(messages.count == 22)
        for index in 0..<10 {
            let (call, result) = (messages[1 + 2 * index].toolCalls[0], messages[2 + 2 * index])
            #expect(result.name == "say" && result.toolCallId == call.id)
            let text = try #require(call.arguments["text"]?.string)
            guard case .text(let said) = result.content else { throw CocoaError(.coderInvalidValue) }
            #expect(said.hasPrefix(text.contains("\u{0}") ? "error" : "said"), "\(said)")
        }
        // One turn, for /undo as well.
        #expect(session.undo() != nil && session.messages.isEmpty)
    }

    /// A call that is not permitted is not run, and the model is told.
    @Test(arguments: [true, false])
    func nothingRunsUnlessItIsAllowed(isAsked: Bool) async throws {
        let directory = try TemporaryDirectory()
        var session = try session(#"["touch", "\#(directory.path)/done"]"#, allows: isAsked ? { false } : nil)
        try await session.say("Speak!")
        #expect(session.messages[2].content == .text("error: not run, the user has not allowed it"))
        #expect(!FileManager.default.fileExists(atPath: "\(directory.path)/done"))
    }
}
