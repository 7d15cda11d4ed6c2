/*
 * sanitized.h - sizes of tests that measure quality, or try many values, on a large collection. A
 * sanitizer sees the same lines run in a small one; the plain build has the full size.
 */
#ifndef VECFS_TESTS_SANITIZED_H
#define VECFS_TESTS_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* A constant: `few` under the address and the thread sanitizer, else `all`. */
#define UNLESS_SANITIZED(all, few) (SANITIZED ? (few) : (all))

#endif
