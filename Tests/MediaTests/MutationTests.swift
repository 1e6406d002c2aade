import Foundation
import Media
import TestSupport
import Testing

/// Damaged files of every kind: whatever a few changed bytes do, the answer is a picture, sound or a `MediaError`.
@Suite struct MutationTests {
    /// Files of one extension in one folder, in a fixed order.
    private func goldens(_ folder: String, _ suffix: String) throws -> [Data] {
        let names = try FileManager.default.contentsOfDirectory(
            atPath: MediaGoldens.folder.appending(path: folder).path)
        return try names.filter { $0.hasSuffix(suffix) }.sorted().map {
            try Data(contentsOf: MediaGoldens.folder.appending(path: "\(folder)/\($0)"))
        }
    }

    /// Mutants: one to eight bytes changed, most of them in the first 200, some files cut or grown.
    private func mutants(_ count: Int = 3_000, of files: [Data], seed: Int, _ body: (Data) -> Void) {
        var random = MediaGoldens.noise(200_000, seed: seed).makeIterator()
        func byte() -> Int { Int(random.next() ?? 0) }
        for round in 0..<count {
            var mutant = files[round % files.count]
            for _ in 0...byte() % 8 {
                let anywhere = byte() % 4 == 0
                let place = (byte() << 8 | byte()) % (anywhere ? mutant.count : min(mutant.count, 200))
                mutant[place] = UInt8(byte())
            }
            switch byte() % 16 {
            case 0: mutant.removeLast(byte() % mutant.count)
            case 1:
                mutant.insert(contentsOf: [UInt8](repeating: UInt8(byte()), count: byte()), at: byte() % mutant.count)
            default: break
            }
            body(mutant)
        }
    }

    @Test(arguments: [".png", ".jpg", ".webp"])
    func pictures(suffix: String) throws {
        var (read, refused) = (0, 0)
        try mutants(of: goldens("pictures", suffix), seed: 21) { mutant in
            do {
                let pixels = try ImageReader(maxPixels: 1 << 20).read(Data([UInt8](mutant).withPNGChecksums))
                #expect(pixels.width * pixels.height <= 1 << 20)
                read += 1
            } catch {
                #expect(error is MediaError && !"\(error)".contains("libpng could not"))
                refused += 1
            }
        }
        #expect(read > 100 && refused > 100)  // some accepted, some refused
    }

    /// Fewer of MP3: its decoder writes to stderr about most of them, and libsndfile cannot tell it not to.
    @Test(arguments: [(".wav", 3_000), (".aiff", 3_000), (".flac", 3_000), (".ogg", 3_000), (".mp3", 100)])
    func recordings(suffix: String, count: Int) throws {
        var (read, refused) = (0, 0)
        try mutants(count, of: goldens("recordings", suffix), seed: 22) { mutant in
            do {
                var reader = try AudioReader(Data([UInt8](mutant).withOggChecksums))
                #expect(try reader.readAll(maxDurationInSeconds: 60).count <= 60 * 16_000)
                read += 1
            } catch {
                #expect(error is MediaError)
                refused += 1
            }
        }
        #expect(read > count / 30 && refused > count / 30)  // some accepted, some refused
    }
}
