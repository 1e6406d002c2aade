import Foundation
import TestSupport
import Testing

/// The README's examples give the output that it shows.
@Suite struct ReadmeTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static let readme = (try? String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)) ?? ""

    /// Commands in code blocks and backticks, and the output that a block shows below them.
    static let examples: [(command: String, output: [String])] = {
        var examples: [(command: String, output: [String])] = []
        var isOutput = false
        for line in readme.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("    $ gemma4 ") {
                examples.append((String(line.dropFirst(6)), []))
                isOutput = true
            } else if isOutput, line.hasPrefix("    ") {
                examples[examples.count - 1].output.append(String(line.dropFirst(4)))
            } else {
                isOutput = false
                if line.hasPrefix("    .build/release/gemma4 ") {
                    examples.append((String(line.dropFirst(19)), []))
                } else {
                    let quoted = line.split(separator: "`", omittingEmptySubsequences: false).enumerated()
                    examples += quoted.filter { $0.offset % 2 == 1 }.map { String($0.element) }
                        .filter { $0.hasPrefix("gemma4 ") || $0.contains("| gemma4 ") }.map { ($0, []) }
                }
            }
        }
        return examples
    }()

    /// A server is started at a port that is free, and ended once it listens.
    private static func startAndEnd(_ command: String) -> String {
        """
        \(command) --port 0 2>messages & server=$!
        until grep 'listens at' messages; do kill -0 $server || break; sleep 0.05; done
        cat messages >&2; kill $server; wait $server
        """
    }

    @Test func thereAreExamplesOfEveryKind() {
        #expect(Self.examples.contains { !$0.output.isEmpty })
        for part in ["gemma4 transcribe --model", "gemma4 caption --model", "| gemma4", "--resume", "gemma4 serve"] {
            #expect(Self.examples.contains { $0.command.contains(part) }, "\(part)")
        }
    }

    @Test(arguments: examples.indices)
    func exampleRuns(index: Int) async throws {
        let (command, output) = Self.examples[index]
        let directory = try TemporaryDirectory()
        let manager = FileManager.default
        func link(_ name: String, to target: URL) throws {
            try manager.createSymbolicLink(at: URL(filePath: "\(directory.path)/\(name)"), withDestinationURL: target)
        }
        try manager.createDirectory(atPath: "\(directory.path)/photos", withIntermediateDirectories: true)
        try manager.createDirectory(atPath: "\(directory.path)/bin", withIntermediateDirectories: true)
        try link("Models", to: Self.root.appending(path: "Models"))
        try link("gemma-4-E2B-it", to: URL(filePath: Goldens.checkpoint("E2B")))
        try link("embeddinggemma-2", to: URL(filePath: EmbeddingGoldens.checkpoint))
        try link("speech.wav", to: Goldens.folder.appending(path: "attachments/chirp.wav"))
        for picture in ["photo.jpg", "menu.png", "photos/a.png"] {
            try link(picture, to: Goldens.folder.appending(path: "attachments/noise.png"))
        }
        try directory.write(Array("speech.wav\n".utf8), to: "list.txt")
        // A microphone.
        try directory.write(Sounds.pcm(Sounds.speech(seconds: 2, hisses: false)), to: "speech.raw")
        try directory.write(Array("#!/bin/sh\nexec cat speech.raw\n".utf8), to: "bin/arecord")
        try manager.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(directory.path)/bin/arecord")

        var program = Program("-c", command.hasPrefix("gemma4 serve") ? Self.startAndEnd(command) : command)
        program.executable = URL(filePath: "/bin/sh")
        program.directory = directory.path
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let programs = Program.executable.deletingLastPathComponent().path
        program.environment["PATH"] = "\(directory.path)/bin:\(programs):\(path)"
        let outcome = try await program.run()
        #expect(outcome.status == 0, "\(command): \(outcome.messages)")
        let printed = Set(outcome.text.split(separator: "\n").map(String.init))
        for line in output { #expect(printed.contains(line), "\(command): no line “\(line)”") }
        #expect(command.contains("-o ") || !outcome.text.isEmpty)
    }
}
