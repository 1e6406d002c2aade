import Foundation
import Gemma4
import Media
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit

/// The output of `Tests/Goldens/make_video_goldens.py`.
private struct VideoGoldens: Decodable {
    struct Choice: Decodable, Sendable {
        let frames: Int
        let fps: Double
        let width, height: Int
        let indices: [Int]
        let softTokens: Int
        let labels: [String]
    }
    struct Answer: Decodable, Sendable {
        let variant: String
        let frames: Int
        let fps: Double
        let width, height: Int
        let text: String
        let promptRuns: [[Int]]
        let tokens: [Int]
    }
    let choices: [Choice]
    let answers: [Answer]
}

/// The generator's frames.
private func film(frames: Int, width: Int, height: Int) throws -> [ImageInput] {
    try (0..<frames).map { t in
        let rgb = (0..<height * width * 3).map { index -> UInt8 in
            let (x, y, c) = (index / 3 % width, index / 3 / width, index % 3)
            return UInt8(truncatingIfNeeded: x * 7 + y * 13 + t * 31 + c * 57 + (x * y * (t + 1)) / 29)
        }
        return .pixels(try Pixels(width: width, height: height, rgb: rgb))
    }
}

@Suite struct VideoTests {
    /// Frames, times and sizes equal the published processor's.
    @Test func framesAreThePublishedProcessors() throws {
        let choices = try MediaGoldens.load("video", as: VideoGoldens.self).choices
        #expect(choices.count == 9)
        let processor = try ImageProcessor(patchSize: 16, poolingKernelSize: 3, maxSoftTokens: 70)
        for choice in choices {
            let indices = VideoReader.indices(frames: choice.frames, count: 32)
            #expect(indices == choice.indices)
            let labels = indices.indices.map { PreparedMedium.label(of: $0, at: Double(indices[$0]) / choice.fps) }
            #expect(labels == choice.labels.map { $0 + " " })
            #expect(try processor.softTokenCount(width: choice.width, height: choice.height) == choice.softTokens)
        }
    }

    /// Prompt ids and greedy answers about videos equal transformers', with bidirectional and with causal attention to
    /// images.
    @Test(arguments: 0..<4)
    func answersAboutFilmsAreTransformers(index: Int) async throws {
        let answers = try MediaGoldens.load("video", as: VideoGoldens.self).answers
        try #require(answers.count == 4)
        let golden = answers[index]
        let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(golden.variant)))
        let frames = try film(frames: golden.frames, width: golden.width, height: golden.height)
        let message = ChatMessage(.user, parts: [.video(), .text(golden.text)])
        let answer = try await pipeline.generate(
            [message], media: [.video(.pictures(frames, framesPerSecond: golden.fps))],
            options: .init(sampling: .greedy, maxTokens: golden.tokens.count)
        ).answer()
        #expect(answer.finish?.promptTokens == golden.promptRuns.flatMap { [Int](repeating: $0[0], count: $0[1]) })
        #expect(answer.tokens == golden.tokens)
    }

    /// 2.png comes before 10.png.
    @Test func aFolderOfNumberedPicturesIsAFilm() async throws {
        let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
        let directory = try TemporaryDirectory()
        let attachments = Goldens.folder.appending(path: "attachments")
        for (name, picture) in [("1", "tall"), ("2", "noise"), ("10", "poster")] {
            try directory.write(Data(contentsOf: attachments.appending(path: "\(picture).png")), to: "\(name).png")
        }
        let frames = try await pipeline.softTokens(VideoInput.file(URL(filePath: directory.path)))
        let times: [Double] = frames.map(\.seconds)
        #expect(times == (0..<3).map { Double($0) / 24 })
        for (frame, picture) in zip(frames, ["tall", "noise", "poster"]) {
            let alone = try await pipeline.softTokens(
                .file(attachments.appending(path: "\(picture).png")), maxTokens: 70)
            #expect(frame.tokens.toArray() == alone.toArray())
        }
        let empty = try TemporaryDirectory()
        let error = await #expect(throws: MediaError.self) {
            try await pipeline.softTokens(VideoInput.file(URL(filePath: empty.path)))
        }
        #expect(error?.description.contains("expected numbered pictures, PNG or JPEG, found none") == true)
    }

    @Test func aFilmAndSomethingElseAreToldApart() async throws {
        let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
        let error = await #expect(throws: PromptError.self) {
            try await pipeline.prompt(
                [ChatMessage(.user, parts: [.video()])],
                media: [.image(.file(Goldens.folder.appending(path: "attachments/wide.png")))])
        }
        #expect(error?.description == "medium 1: the message names a film, something else was given")
    }
}
