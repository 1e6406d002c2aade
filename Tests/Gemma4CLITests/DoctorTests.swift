import Foundation
import TestSupport
import Testing

@Suite struct DoctorTests {
    private struct Report: Decodable {
        struct Finding: Decodable {
            let state, name, text: String
            let remedy: String?
        }
        let findings: [Finding]

        subscript(name: String) -> Finding? { findings.first { $0.name == name } }
    }

    private func copyOfTheModel() throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        for name in ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"] {
            try FileManager.default.copyItem(
                atPath: "\(Goldens.checkpoint("E2B"))/\(name)", toPath: "\(directory.path)/\(name)")
        }
        return directory
    }

    private func doctor(_ arguments: String..., environment: [String: String] = [:]) async throws -> Program.Outcome {
        var program = Program("doctor", "--format", "json")
        program.arguments += arguments
        program.environment = environment
        return try await program.run()
    }

    @Test func aModelThatIsWholeIsWell() async throws {
        let directory = try copyOfTheModel()
        let outcome = try await doctor(directory.path)
        let report: Report = try outcome.decoded()
        #expect(outcome.status == 0, "\(outcome.text)")
        for name in ["CPU", "threads", "memory", "BLAS core", "model"] {
            #expect(report[name]?.state == "ok", "\(name)")
        }
        #expect(report["model"]?.text.hasPrefix("custom, takes text, image, audio; ") == true)
        let text = try await Program("doctor", directory.path).run().text
        #expect(text.contains("ok       model          custom, takes text"))
    }

    @Test func whatIsMissingIsNamedWithARemedy() async throws {
        let report: Report = try await doctor(
            Goldens.checkpoint("E2B"), environment: ["PATH": "/nowhere"]
        ).decoded()
        for name in ["ffmpeg", "ffprobe", "heif-convert"] {
            #expect(report[name]?.state == "advice" && report[name]?.remedy?.contains("apt-get install") == true)
        }
        let directory = try copyOfTheModel()
        try FileManager.default.removeItem(atPath: "\(directory.path)/tokenizer.json")
        let outcome = try await doctor(directory.path)
        #expect(outcome.status == 69)
        #expect(try outcome.decoded(as: Report.self)["tokenizer"]?.state == "problem")
    }

    @Test func withoutAModelDownloadedOnesAreNamed() async throws {
        let directory = try TemporaryDirectory()
        let none: Report = try await doctor(environment: ["HF_HUB_CACHE": directory.path]).decoded()
        #expect(none["model"]?.state == "advice" && none["model"]?.remedy?.contains("hf download") == true)
        try FileManager.default.createDirectory(
            atPath: "\(directory.path)/models--google--gemma-4-E2B-it", withIntermediateDirectories: true)
        let one: Report = try await doctor(environment: ["HF_HUB_CACHE": directory.path]).decoded()
        #expect(one["model"]?.text == "none named; downloaded are google/gemma-4-E2B-it")
    }

    /// In the formats of `hf download --local-dir` and `sha256sum`.
    @Test(arguments: ["metadata", "SHA256SUMS"])
    func aChangedFileIsNoticed(kind: String) async throws {
        let directory = try copyOfTheModel()
        let weights = "\(directory.path)/model.safetensors"
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/sha256sum")
        process.arguments = [weights]
        process.standardOutput = output
        try process.run()
        let sum = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).prefix(64)
        #expect(sum.count == 64)
        if kind == "metadata" {
            let notes = "\(directory.path)/.cache/huggingface/download"
            try FileManager.default.createDirectory(atPath: notes, withIntermediateDirectories: true)
            try directory.write(
                Array("0123456789\n\(sum)\n1700000000.0\n".utf8),
                to: ".cache/huggingface/download/model.safetensors.metadata")
        } else {
            try directory.write(Array("\(sum) *model.safetensors\n".utf8), to: "SHA256SUMS")
        }
        let whole = try await doctor(directory.path, "--checksums")
        #expect(whole.status == 0, "\(whole.text)")
        let checksum = try whole.decoded(as: Report.self)["checksum"]
        #expect(checksum?.text == "model.safetensors: \(sum.prefix(12))…, as downloaded")

        let handle = try FileHandle(forUpdating: URL(filePath: weights))
        try handle.seek(toOffset: 1_000_000)
        try handle.write(contentsOf: Data([0x55, 0xAA]))
        try handle.close()
        let changed = try await doctor(directory.path, "--checksums")
        #expect(changed.status == 69)
        let finding = try changed.decoded(as: Report.self)["checksum"]
        #expect(finding?.state == "problem" && finding?.text.contains("expected \(sum), found ") == true)
    }
}
