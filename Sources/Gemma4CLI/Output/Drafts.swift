import Foundation

/// Temporary files being written. A signal that ends the program removes them.
enum Drafts {
    private static let capacity = 16
    private static let lock = NSLock()
    /// Paths as C strings, so that a signal handler, which must not allocate, can unlink them; nil is a free slot.
    private nonisolated(unsafe) static let paths: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = {
        let paths = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: capacity)
        paths.initialize(repeating: nil, count: capacity)
        return paths
    }()

    /// Must be called before signal handlers are installed, because a handler must not initialize `paths`.
    static func prepare() { _ = paths }

    static func add(_ path: String) {
        lock.withLock {
            guard let free = (0..<capacity).first(where: { paths[$0] == nil }) else { return }
            paths[free] = strdup(path)
        }
    }

    /// Called when the file is complete or removed. The string is leaked, because a handler may be reading it.
    static func remove(_ path: String) {
        lock.withLock {
            for place in 0..<capacity where paths[place].map({ strcmp($0, path) == 0 }) == true { paths[place] = nil }
        }
    }

    /// Async-signal-safe.
    static func unlinkAll() {
        for place in 0..<capacity { if let path = paths[place] { unlink(path) } }
    }
}
