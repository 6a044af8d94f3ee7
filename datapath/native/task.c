// A thread for each task, and the way of its answer back to the loop.
#include "task.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void *run_task(void *data) {
  struct pf_task *task = data;
  napi_threadsafe_function done = task->done;
  pid_t child = task->run(task);
  // The environment may have ended meanwhile; then nobody waits for the answer.
  if (napi_call_threadsafe_function(done, task, napi_tsfn_blocking) != napi_ok) task->destroy(task);
  else napi_release_threadsafe_function(done, napi_tsfn_release);
  if (child > 0) waitpid(child, NULL, 0);
  return NULL;
}

static void settle(napi_env env, napi_value unused, void *context, void *data) {
  (void)unused;
  (void)context;
  struct pf_task *task = data;
  napi_value value = env != NULL ? task->answer(env, task) : NULL;
  if (value != NULL) napi_resolve_deferred(env, task->deferred, value);
  task->destroy(task);
}

static int start_thread(struct pf_task *task) {
  pthread_t thread;
  pthread_attr_t attributes;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &attributes, run_task, task);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error;
}

napi_value pf_task_start(napi_env env, struct pf_task *task) {
  napi_value promise = NULL, name;
  bool is_ready = napi_create_promise(env, &task->deferred, &promise) == napi_ok &&
                  napi_create_string_utf8(env, "pureflash task", NAPI_AUTO_LENGTH, &name) == napi_ok &&
                  napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, NULL, settle, &task->done) == napi_ok;
  if (!is_ready) {
    task->destroy(task);
    napi_throw_error(env, NULL, "no thread could be prepared");
    return NULL;
  }
  int error = start_thread(task);
  if (error == 0) return promise;
  napi_resolve_deferred(env, task->deferred, pf_number(env, -error));
  napi_release_threadsafe_function(task->done, napi_tsfn_abort);
  task->destroy(task);
  return promise;
}
